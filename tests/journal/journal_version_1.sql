BEGIN TRANSACTION;
CREATE TABLE entry (
    seq  INTEGER PRIMARY KEY,
    at   TEXT NOT NULL,          -- ISO 8601 UTC
    ulid TEXT,                   -- the instance, NULL where it is about something else
    kind TEXT NOT NULL,
    body TEXT NOT NULL,          -- canonical JSON
    prev TEXT NOT NULL,          -- hash of the entry before
    hash TEXT NOT NULL           -- sha256(prev, seq, at, ulid, kind, body)
);
INSERT INTO "entry" VALUES(1,'2026-11-20T18:08:08.214562+00:00','01M7X29X0P1GHBQ25EWQ6GF3H0','RECEIVED','{"association_id":"ffffffffffffffffffffffffffffffff","called_ae_title":"B","calling_ae_title":"A","length":100,"peer":"192.0.2.1","received_at":"2026-11-20T18:08:08.214353+00:00","sha256":"0000000000000000000000000000000000000000000000000000000000000001","sop_class_uid":"1.2.840.10008.5.1.4.1.1.7","sop_instance_uid":"1.2.3.1.1","transfer_syntax_uid":"1.2.840.10008.1.2"}','0000000000000000000000000000000000000000000000000000000000000000','39a07b59597ce33b887f83788277c2074239e7302a1952fd4a4c69a24b6d38d3');
INSERT INTO "entry" VALUES(2,'2026-11-20T18:08:08.214562+00:00','01M7X29X0PDVH3Q5NZKJ8HAEZD','RECEIVED','{"association_id":"ffffffffffffffffffffffffffffffff","called_ae_title":"B","calling_ae_title":"A","length":100,"peer":"192.0.2.1","received_at":"2026-11-20T18:08:08.214438+00:00","sha256":"0000000000000000000000000000000000000000000000000000000000000002","sop_class_uid":"1.2.840.10008.5.1.4.1.1.7","sop_instance_uid":"1.2.3.1.2","transfer_syntax_uid":"1.2.840.10008.1.2"}','39a07b59597ce33b887f83788277c2074239e7302a1952fd4a4c69a24b6d38d3','d2bcdac9815504ba00b1b240edcf2494f960344846b149dc1478abc6b98b7524');
INSERT INTO "entry" VALUES(3,'2026-11-20T18:08:08.214562+00:00','01M7X29X0PDVH3Q5NZKJ8HAEZE','RECEIVED','{"association_id":"ffffffffffffffffffffffffffffffff","called_ae_title":"B","calling_ae_title":"A","length":100,"peer":"192.0.2.1","received_at":"2026-11-20T18:08:08.214458+00:00","sha256":"0000000000000000000000000000000000000000000000000000000000000003","sop_class_uid":"1.2.840.10008.5.1.4.1.1.7","sop_instance_uid":"1.2.3.1.3","transfer_syntax_uid":"1.2.840.10008.1.2"}','d2bcdac9815504ba00b1b240edcf2494f960344846b149dc1478abc6b98b7524','20add7424a346ab18c8b1364d44d1a6c3d6887cf0026ad757ca38907a55bf8e4');
INSERT INTO "entry" VALUES(4,'2026-11-20T18:08:08.214562+00:00','01M7X29X0PEQRNK0S4TFS1EJXG','RECEIVED','{"association_id":"ffffffffffffffffffffffffffffffff","called_ae_title":"B","calling_ae_title":"A","length":100,"peer":"192.0.2.1","received_at":"2026-11-20T18:08:08.214469+00:00","sha256":"0000000000000000000000000000000000000000000000000000000000000004","sop_class_uid":"1.2.840.10008.5.1.4.1.1.7","sop_instance_uid":"1.2.3.1.4","transfer_syntax_uid":"1.2.840.10008.1.2"}','20add7424a346ab18c8b1364d44d1a6c3d6887cf0026ad757ca38907a55bf8e4','007e02cfd9df63ccc933f2343cebc9c9862ad9af42fe0c0e182972e9a1d6dcb5');
INSERT INTO "entry" VALUES(5,'2026-11-20T18:08:08.214562+00:00','01M7X29X0PGH1DVXV0VVVQP2FW','RECEIVED','{"association_id":"ffffffffffffffffffffffffffffffff","called_ae_title":"B","calling_ae_title":"A","length":100,"peer":"192.0.2.1","received_at":"2026-11-20T18:08:08.214479+00:00","sha256":"0000000000000000000000000000000000000000000000000000000000000005","sop_class_uid":"1.2.840.10008.5.1.4.1.1.7","sop_instance_uid":"1.2.3.1.5","transfer_syntax_uid":"1.2.840.10008.1.2"}','007e02cfd9df63ccc933f2343cebc9c9862ad9af42fe0c0e182972e9a1d6dcb5','da39e721eb21c43a2374a1135957befd290ed0632310f3d333f195328bb8ee41');
INSERT INTO "entry" VALUES(6,'2026-11-20T18:08:08.214562+00:00','01M7X29X0PGH1DVXV0VVVQP2FX','RECEIVED','{"association_id":"ffffffffffffffffffffffffffffffff","called_ae_title":"B","calling_ae_title":"A","length":100,"peer":"192.0.2.1","received_at":"2026-11-20T18:08:08.214488+00:00","sha256":"0000000000000000000000000000000000000000000000000000000000000006","sop_class_uid":"1.2.840.10008.5.1.4.1.1.7","sop_instance_uid":"1.2.3.1.6","transfer_syntax_uid":"1.2.840.10008.1.2"}','da39e721eb21c43a2374a1135957befd290ed0632310f3d333f195328bb8ee41','c0cabd06aee79b71c79bc4fa705fa10bd54c7ec8fbb8148a5193ed3eff2ea3c0');
INSERT INTO "entry" VALUES(7,'2026-11-20T18:08:08.214562+00:00','01M7X29X0PGH1DVXV0VVVQP2FY','RECEIVED','{"association_id":"ffffffffffffffffffffffffffffffff","called_ae_title":"B","calling_ae_title":"A","length":100,"peer":"192.0.2.1","received_at":"2026-11-20T18:08:08.214497+00:00","sha256":"0000000000000000000000000000000000000000000000000000000000000007","sop_class_uid":"1.2.840.10008.5.1.4.1.1.7","sop_instance_uid":"1.2.3.1.7","transfer_syntax_uid":"1.2.840.10008.1.2"}','c0cabd06aee79b71c79bc4fa705fa10bd54c7ec8fbb8148a5193ed3eff2ea3c0','69a52354c2963532d7743aa3e34482a1f4ac9e2170946e1eb0dad42bacb2ea35');
INSERT INTO "entry" VALUES(8,'2026-11-20T18:08:08.214562+00:00','01M7X29X0PRPC6R02SPN2HQATS','RECEIVED','{"association_id":"ffffffffffffffffffffffffffffffff","called_ae_title":"B","calling_ae_title":"A","length":100,"peer":"192.0.2.1","received_at":"2026-11-20T18:08:08.214508+00:00","sha256":"0000000000000000000000000000000000000000000000000000000000000008","sop_class_uid":"1.2.840.10008.5.1.4.1.1.7","sop_instance_uid":"1.2.3.1.8","transfer_syntax_uid":"1.2.840.10008.1.2"}','69a52354c2963532d7743aa3e34482a1f4ac9e2170946e1eb0dad42bacb2ea35','43dcc20ede8184dc0c22be7c131f318d0a65aeb9d5122940c253422933f33ee2');
INSERT INTO "entry" VALUES(9,'2026-11-20T18:08:08.219611+00:00',NULL,'GENERATION_OPENED','{"job_id":"c0c0f868-c41f-4bae-aac0-3bc88b620cee","study_instance_uid":"1.9"}','43dcc20ede8184dc0c22be7c131f318d0a65aeb9d5122940c253422933f33ee2','debbbe3eaa250e0fe8b0291b2615ee630f2f1ee71d537024a0468021abfa4c77');
INSERT INTO "entry" VALUES(10,'2026-11-20T18:08:08.219611+00:00','01M7X29X0P1GHBQ25EWQ6GF3H0','INDEXED','{"job_id":"c0c0f868-c41f-4bae-aac0-3bc88b620cee","series_instance_uid":"1.9.1","study_instance_uid":"1.9","was":"RECEIVED"}','debbbe3eaa250e0fe8b0291b2615ee630f2f1ee71d537024a0468021abfa4c77','3f8e7a23dc90231448a379ce98da7613a6c0d8d0c641ccef4d7d6d8d7973bff6');
INSERT INTO "entry" VALUES(11,'2026-11-20T18:08:08.220404+00:00','01M7X29X0P1GHBQ25EWQ6GF3H0','TAGGED','{"crc64nvme":"AAAAAAAAAAA=","edits":[],"error":null,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","size":10,"was":"INDEXED"}','3f8e7a23dc90231448a379ce98da7613a6c0d8d0c641ccef4d7d6d8d7973bff6','c5952e8a09fa39ababca0d7f3d98610eb71a2b855e1e4bb8569cf2630d2563fc');
INSERT INTO "entry" VALUES(12,'2026-11-20T18:08:08.220789+00:00','01M7X29X0P1GHBQ25EWQ6GF3H0','UPLOADED','{"crc64nvme":"AAAAAAAAAAA=","key":"k","size":10,"version_id":"v","was":"TAGGED"}','c5952e8a09fa39ababca0d7f3d98610eb71a2b855e1e4bb8569cf2630d2563fc','6a4ea364e2b9fa935066c6cbef5e44ec3847b5a10c3c1109f8fe8f27c8f50ac9');
INSERT INTO "entry" VALUES(13,'2026-11-20T18:08:08.221125+00:00',NULL,'GENERATION_CLOSED','{"job_id":"c0c0f868-c41f-4bae-aac0-3bc88b620cee","reason":"quiet"}','6a4ea364e2b9fa935066c6cbef5e44ec3847b5a10c3c1109f8fe8f27c8f50ac9','343d0a52f4d9f9d57fcd85f2958c4820ccf1e6cca66c2d790cad52bbc0259082');
INSERT INTO "entry" VALUES(14,'2026-11-20T18:08:08.221439+00:00',NULL,'MANIFEST_STORED','{"Key":"m","job_id":"c0c0f868-c41f-4bae-aac0-3bc88b620cee"}','343d0a52f4d9f9d57fcd85f2958c4820ccf1e6cca66c2d790cad52bbc0259082','3c1809cc0eb7ebb1b905fe1366fc4d29d954dee12a84f84f648b0d247b3a4377');
INSERT INTO "entry" VALUES(15,'2026-11-20T18:08:08.222116+00:00',NULL,'MESSAGE_SENT','{"message_id":"87f640cb-0696-409f-b990-a712aa9e4c6d","message_kind":"incoming","queue_id":"q-1"}','3c1809cc0eb7ebb1b905fe1366fc4d29d954dee12a84f84f648b0d247b3a4377','297c369d139958251705af74090fabd33cd79c3955aad06e665a99f77c3ce28b');
INSERT INTO "entry" VALUES(16,'2026-11-20T18:08:08.222450+00:00',NULL,'MESSAGE_SENT','{"message_id":"13edc166-1a82-4ab9-b15a-6f3f0a702707","message_kind":"completed","queue_id":"q-1"}','297c369d139958251705af74090fabd33cd79c3955aad06e665a99f77c3ce28b','b6bc3b16868f879bc68b7688537d338de4c1abea946171cc3a0b402daaf90149');
INSERT INTO "entry" VALUES(17,'2026-11-20T18:08:08.222450+00:00','01M7X29X0P1GHBQ25EWQ6GF3H0','ANNOUNCED','{"message_id":"13edc166-1a82-4ab9-b15a-6f3f0a702707","was":"UPLOADED"}','b6bc3b16868f879bc68b7688537d338de4c1abea946171cc3a0b402daaf90149','d5fb11ef5df28bf5b807f2db43bec303bb9f4aab8e758b273377a41e005d4eaa');
INSERT INTO "entry" VALUES(18,'2026-11-20T18:08:08.222863+00:00','01M7X29X0P1GHBQ25EWQ6GF3H0','RELEASED','{"crc64nvme":"AAAAAAAAAAA=","key":"k","size":10,"version_id":"v","was":"ANNOUNCED"}','d5fb11ef5df28bf5b807f2db43bec303bb9f4aab8e758b273377a41e005d4eaa','713753d344bdf22a82d93fc9a0606c5f232672aa3b53926e67c7c67a6a8e4984');
INSERT INTO "entry" VALUES(19,'2026-11-20T18:08:08.223152+00:00',NULL,'GENERATION_OPENED','{"job_id":"40f2be02-d51f-473f-ab32-cb101a74d544","study_instance_uid":"1.9"}','713753d344bdf22a82d93fc9a0606c5f232672aa3b53926e67c7c67a6a8e4984','49270ac6dc0eaba83caa65590e5be7a32d30bfe2ac8d64adc3c47dc58501c9cf');
INSERT INTO "entry" VALUES(20,'2026-11-20T18:08:08.223152+00:00','01M7X29X0PDVH3Q5NZKJ8HAEZD','INDEXED','{"job_id":"40f2be02-d51f-473f-ab32-cb101a74d544","series_instance_uid":"1.9.1","study_instance_uid":"1.9","was":"RECEIVED"}','49270ac6dc0eaba83caa65590e5be7a32d30bfe2ac8d64adc3c47dc58501c9cf','184a01773a004a7e3d500d991105f3b68e1c5d01ad399967814a6eba28307127');
INSERT INTO "entry" VALUES(21,'2026-11-20T18:08:08.223605+00:00','01M7X29X0PDVH3Q5NZKJ8HAEZD','TAGGED','{"crc64nvme":"AAAAAAAAAAA=","edits":[],"error":null,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","size":10,"was":"INDEXED"}','184a01773a004a7e3d500d991105f3b68e1c5d01ad399967814a6eba28307127','9a4f0479fe99a479e99f1819bc76e57f1ca0ea279b129d5c68b0508dc49dfca8');
INSERT INTO "entry" VALUES(22,'2026-11-20T18:08:08.223921+00:00','01M7X29X0PDVH3Q5NZKJ8HAEZD','UPLOADED','{"crc64nvme":"AAAAAAAAAAA=","key":"k","size":10,"version_id":"v","was":"TAGGED"}','9a4f0479fe99a479e99f1819bc76e57f1ca0ea279b129d5c68b0508dc49dfca8','47bfab3cdfcfdedcbafd0784e3ce14ea7dbbfee1bbe6ea7d7ad867b649b4206a');
INSERT INTO "entry" VALUES(23,'2026-11-20T18:08:08.224198+00:00',NULL,'GENERATION_CLOSED','{"job_id":"40f2be02-d51f-473f-ab32-cb101a74d544","reason":"quiet"}','47bfab3cdfcfdedcbafd0784e3ce14ea7dbbfee1bbe6ea7d7ad867b649b4206a','2f39a1cab2544560964669a09a28fcfda1d78f963e492772d0e4fb303a324796');
INSERT INTO "entry" VALUES(24,'2026-11-20T18:08:08.224445+00:00',NULL,'MANIFEST_STORED','{"Key":"m","job_id":"40f2be02-d51f-473f-ab32-cb101a74d544"}','2f39a1cab2544560964669a09a28fcfda1d78f963e492772d0e4fb303a324796','45acfecf016805facbd728ce301f5f23803ae7387f0b3f139fd5c41251e4eeb5');
INSERT INTO "entry" VALUES(25,'2026-11-20T18:08:08.224769+00:00',NULL,'MESSAGE_SENT','{"message_id":"d3b066d4-ee24-40dd-93a0-ec67b009b93e","message_kind":"incoming","queue_id":"q-1"}','45acfecf016805facbd728ce301f5f23803ae7387f0b3f139fd5c41251e4eeb5','7715913c55ef131e3242786e2101fe80a55347a452cb0429c37d102c73003653');
INSERT INTO "entry" VALUES(26,'2026-11-20T18:08:08.225017+00:00',NULL,'MESSAGE_SENT','{"message_id":"e45a6b77-3abc-4656-9d91-bbf163ac3424","message_kind":"completed","queue_id":"q-1"}','7715913c55ef131e3242786e2101fe80a55347a452cb0429c37d102c73003653','8f7919aa39d84b308de7aa5c9ffec399e835aac61dde7bfa1255aaf5d659cede');
INSERT INTO "entry" VALUES(27,'2026-11-20T18:08:08.225017+00:00','01M7X29X0PDVH3Q5NZKJ8HAEZD','ANNOUNCED','{"message_id":"e45a6b77-3abc-4656-9d91-bbf163ac3424","was":"UPLOADED"}','8f7919aa39d84b308de7aa5c9ffec399e835aac61dde7bfa1255aaf5d659cede','6a75d551dc905ad7a9a416af636d7ebf6b88939c3f49aa9b1e418e821deda798');
INSERT INTO "entry" VALUES(28,'2026-11-20T18:08:08.225377+00:00',NULL,'FILE_ID_ISSUED','{"file_id":7000000001,"study_instance_uid":"1.9"}','6a75d551dc905ad7a9a416af636d7ebf6b88939c3f49aa9b1e418e821deda798','7377da01b751aaef3c1744f6661626472464c7d0dab6b8fd4ce813e5e5cc23ca');
INSERT INTO "entry" VALUES(29,'2026-11-20T18:08:08.225377+00:00',NULL,'SCAN_ID_ISSUED','{"file_id":7000000001,"scan_id":1,"series_instance_uid":"1.9.1"}','7377da01b751aaef3c1744f6661626472464c7d0dab6b8fd4ce813e5e5cc23ca','3678fdf1b83b6e14f4e2c09efcd812bba35f5d9794c55fcbcabe13dcd893538d');
INSERT INTO "entry" VALUES(30,'2026-11-20T18:08:08.225802+00:00',NULL,'SCAN_ID_ISSUED','{"file_id":7000000001,"scan_id":2,"series_instance_uid":"1.9.2"}','3678fdf1b83b6e14f4e2c09efcd812bba35f5d9794c55fcbcabe13dcd893538d','aadd296171f6838c58927e0caf0b03d21388e1cf527ac32362c6cf5818a3efbb');
INSERT INTO "entry" VALUES(31,'2026-11-20T18:08:08.226081+00:00',NULL,'GENERATION_OPENED','{"job_id":"8eb656ab-b96e-4735-8c70-e9d6e315cb39","study_instance_uid":"1.9"}','aadd296171f6838c58927e0caf0b03d21388e1cf527ac32362c6cf5818a3efbb','9e0186c6421dd071458c4053258e06f632ac0d3e5161f481a648112d0fe29430');
INSERT INTO "entry" VALUES(32,'2026-11-20T18:08:08.226081+00:00','01M7X29X0PDVH3Q5NZKJ8HAEZE','INDEXED','{"job_id":"8eb656ab-b96e-4735-8c70-e9d6e315cb39","series_instance_uid":"1.9.1","study_instance_uid":"1.9","was":"RECEIVED"}','9e0186c6421dd071458c4053258e06f632ac0d3e5161f481a648112d0fe29430','df9039e25a4a7f4cd7856d28cc9c7e76ba60176bbe5a01c4b5581e31ddbb5031');
INSERT INTO "entry" VALUES(33,'2026-11-20T18:08:08.226531+00:00','01M7X29X0PDVH3Q5NZKJ8HAEZE','TAG_INPUTS','{"atriuid":"7000000001.1","inputs":{"at":"first"}}','df9039e25a4a7f4cd7856d28cc9c7e76ba60176bbe5a01c4b5581e31ddbb5031','7ad67824fa81d44b06ba2e9e89a3ed11fc2dce31159ad5bb0f5291d25c6383f1');
INSERT INTO "entry" VALUES(34,'2026-11-20T18:08:08.226835+00:00','01M7X29X0PDVH3Q5NZKJ8HAEZE','TAGGED','{"crc64nvme":"AAAAAAAAAAA=","edits":[],"error":null,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","size":10,"was":"INDEXED"}','7ad67824fa81d44b06ba2e9e89a3ed11fc2dce31159ad5bb0f5291d25c6383f1','ffd408f3b231b9457b05ad72a0df9db5422e03cbff7e911a0ea99fff851d5ffd');
INSERT INTO "entry" VALUES(35,'2026-11-20T18:08:08.227133+00:00','01M7X29X0PEQRNK0S4TFS1EJXG','INDEXED','{"job_id":"8eb656ab-b96e-4735-8c70-e9d6e315cb39","series_instance_uid":"1.9.1","study_instance_uid":"1.9","was":"RECEIVED"}','ffd408f3b231b9457b05ad72a0df9db5422e03cbff7e911a0ea99fff851d5ffd','61685125fd3c9c4eba26a96216ce1a77d2ca5fc567cd3e34a773639b422a54a1');
INSERT INTO "entry" VALUES(36,'2026-11-20T18:08:08.227536+00:00','01M7X29X0PEQRNK0S4TFS1EJXG','TAGGED','{"crc64nvme":"AAAAAAAAAAA=","edits":[],"error":null,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","size":10,"was":"INDEXED"}','61685125fd3c9c4eba26a96216ce1a77d2ca5fc567cd3e34a773639b422a54a1','09883b34e34dce3489bd7072c7962e138e45c8b3ed9e1b1a7195cd8446f497de');
INSERT INTO "entry" VALUES(37,'2026-11-20T18:08:08.227853+00:00','01M7X29X0PEQRNK0S4TFS1EJXG','UPLOADED','{"crc64nvme":"AAAAAAAAAAA=","key":"k4","size":10,"version_id":"v","was":"TAGGED"}','09883b34e34dce3489bd7072c7962e138e45c8b3ed9e1b1a7195cd8446f497de','1632015d44cfd52c5b45329c321068f866b3ab9461324cd820e42cb1dffdeb08');
INSERT INTO "entry" VALUES(38,'2026-11-20T18:08:08.228152+00:00','01M7X29X0PGH1DVXV0VVVQP2FW','INDEXED','{"job_id":"8eb656ab-b96e-4735-8c70-e9d6e315cb39","series_instance_uid":"1.9.1","study_instance_uid":"1.9","was":"RECEIVED"}','1632015d44cfd52c5b45329c321068f866b3ab9461324cd820e42cb1dffdeb08','bcc6b06c22e36e62477053da248dad99848716a05ab3fd52b960075accffa3ae');
INSERT INTO "entry" VALUES(39,'2026-11-20T18:08:08.228491+00:00','01M7X29X0PGH1DVXV0VVVQP2FX','PARKED','{"hint":"look at it","reason":"the dataset does not parse","was":"RECEIVED"}','bcc6b06c22e36e62477053da248dad99848716a05ab3fd52b960075accffa3ae','ef29c8fe0cc3b7f0204b2eaa477c34e9e27055d933d949aaf02a1d1633f17f29');
INSERT INTO "entry" VALUES(40,'2026-11-20T18:08:08.228830+00:00','01M7X29X0PGH1DVXV0VVVQP2FX','PARKED_COPY','{"crc64nvme":"AAAAAAAAAAA=","key":"parked/x","version_id":null}','ef29c8fe0cc3b7f0204b2eaa477c34e9e27055d933d949aaf02a1d1633f17f29','ca56da66c8b445e389b3a6548fff73604d5044bf70c8b4ac49e8dda1143af11b');
INSERT INTO "entry" VALUES(41,'2026-11-20T18:08:08.229114+00:00','01M7X29X0PGH1DVXV0VVVQP2FY','DUPLICATE','{"of":"01M7X29X0P1GHBQ25EWQ6GF3H0","was":"RECEIVED"}','ca56da66c8b445e389b3a6548fff73604d5044bf70c8b4ac49e8dda1143af11b','8aad7cab1bb5687370ac2002e74f40d9ff64da3d576deea5ebc045be1e3bf225');
CREATE TABLE file_id (
    study_instance_uid TEXT PRIMARY KEY,
    file_id            INTEGER NOT NULL UNIQUE
);
INSERT INTO "file_id" VALUES('1.9',7000000001);
CREATE TABLE generation (
    job_id             TEXT PRIMARY KEY,      -- uuid4 of the key
    study_instance_uid TEXT NOT NULL,
    opened_at          TEXT NOT NULL,
    closed_at          TEXT,
    close_reason       TEXT,
    instances          INTEGER NOT NULL DEFAULT 0,
    bytes              INTEGER NOT NULL DEFAULT 0,
    manifest_at        TEXT,                  -- when the manifest was stored
    announced_at       TEXT                   -- when the queue accepted its message
);
INSERT INTO "generation" VALUES('c0c0f868-c41f-4bae-aac0-3bc88b620cee','1.9','2026-11-20T18:08:08.219611+00:00','2026-11-20T18:08:08.221125+00:00','quiet',1,1000,'2026-11-20T18:08:08.221439+00:00','2026-11-20T18:08:08.222450+00:00');
INSERT INTO "generation" VALUES('40f2be02-d51f-473f-ab32-cb101a74d544','1.9','2026-11-20T18:08:08.223152+00:00','2026-11-20T18:08:08.224198+00:00','quiet',1,1000,'2026-11-20T18:08:08.224445+00:00','2026-11-20T18:08:08.225017+00:00');
INSERT INTO "generation" VALUES('8eb656ab-b96e-4735-8c70-e9d6e315cb39','1.9','2026-11-20T18:08:08.226081+00:00',NULL,NULL,3,3000,NULL,NULL);
CREATE TABLE instance (
    ulid                TEXT PRIMARY KEY,
    state               TEXT NOT NULL,
    sop_class_uid       TEXT NOT NULL,
    sop_instance_uid    TEXT NOT NULL,        -- as the command set said
    transfer_syntax_uid TEXT NOT NULL,
    calling_ae_title    TEXT NOT NULL,
    called_ae_title     TEXT NOT NULL,
    association_id      TEXT NOT NULL,
    received_at         TEXT NOT NULL,
    size                INTEGER NOT NULL,     -- bytes of the spool file
    dataset_offset      INTEGER NOT NULL,
    received_sha256     TEXT NOT NULL,
    study_instance_uid  TEXT,
    series_instance_uid TEXT,
    job_id              TEXT REFERENCES generation (job_id),
    attributes          TEXT,                 -- JSON, by level
    file_id             INTEGER,
    scan_id             INTEGER,
    tag_inputs          TEXT,                 -- JSON
    tag                 TEXT,                 -- JSON: edits, size, crc64nvme, sha256, error, original
    stored              TEXT,                 -- JSON: key, version_id, size, crc64nvme, original
    parked_stored       TEXT,                 -- JSON: where a parked one was copied to
    reason              TEXT,                 -- why it is parked
    hint                TEXT,
    moved_at            TEXT NOT NULL
);
INSERT INTO "instance" VALUES('01M7X29X0P1GHBQ25EWQ6GF3H0','RELEASED','1.2.840.10008.5.1.4.1.1.7','1.2.3.1.1','1.2.840.10008.1.2','A','B','ffffffffffffffffffffffffffffffff','2026-11-20T18:08:08.214353+00:00',1000,900,'0000000000000000000000000000000000000000000000000000000000000001','1.9','1.9.1','c0c0f868-c41f-4bae-aac0-3bc88b620cee','{"Patient": {}, "Study": {}, "Series": {}, "Instance": {}}',NULL,NULL,NULL,'{"edits": [], "size": 10, "crc64nvme": "AAAAAAAAAAA=", "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "error": null}','{"key": "k", "version_id": "v", "size": 10, "crc64nvme": "AAAAAAAAAAA="}',NULL,NULL,NULL,'2026-11-20T18:08:08.222863+00:00');
INSERT INTO "instance" VALUES('01M7X29X0PDVH3Q5NZKJ8HAEZD','ANNOUNCED','1.2.840.10008.5.1.4.1.1.7','1.2.3.1.2','1.2.840.10008.1.2','A','B','ffffffffffffffffffffffffffffffff','2026-11-20T18:08:08.214438+00:00',1000,900,'0000000000000000000000000000000000000000000000000000000000000002','1.9','1.9.1','40f2be02-d51f-473f-ab32-cb101a74d544','{"Patient": {}, "Study": {}, "Series": {}, "Instance": {}}',NULL,NULL,NULL,'{"edits": [], "size": 10, "crc64nvme": "AAAAAAAAAAA=", "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "error": null}','{"key": "k", "version_id": "v", "size": 10, "crc64nvme": "AAAAAAAAAAA="}',NULL,NULL,NULL,'2026-11-20T18:08:08.225017+00:00');
INSERT INTO "instance" VALUES('01M7X29X0PDVH3Q5NZKJ8HAEZE','TAGGED','1.2.840.10008.5.1.4.1.1.7','1.2.3.1.3','1.2.840.10008.1.2','A','B','ffffffffffffffffffffffffffffffff','2026-11-20T18:08:08.214458+00:00',1000,900,'0000000000000000000000000000000000000000000000000000000000000003','1.9','1.9.1','8eb656ab-b96e-4735-8c70-e9d6e315cb39','{"Patient": {}, "Study": {}, "Series": {}, "Instance": {}}',7000000001,1,'{"at": "first"}','{"edits": [], "size": 10, "crc64nvme": "AAAAAAAAAAA=", "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "error": null}',NULL,NULL,NULL,NULL,'2026-11-20T18:08:08.226835+00:00');
INSERT INTO "instance" VALUES('01M7X29X0PEQRNK0S4TFS1EJXG','UPLOADED','1.2.840.10008.5.1.4.1.1.7','1.2.3.1.4','1.2.840.10008.1.2','A','B','ffffffffffffffffffffffffffffffff','2026-11-20T18:08:08.214469+00:00',1000,900,'0000000000000000000000000000000000000000000000000000000000000004','1.9','1.9.1','8eb656ab-b96e-4735-8c70-e9d6e315cb39','{"Patient": {}, "Study": {}, "Series": {}, "Instance": {}}',NULL,NULL,NULL,'{"edits": [], "size": 10, "crc64nvme": "AAAAAAAAAAA=", "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "error": null}','{"key": "k4", "version_id": "v", "size": 10, "crc64nvme": "AAAAAAAAAAA="}',NULL,NULL,NULL,'2026-11-20T18:08:08.227853+00:00');
INSERT INTO "instance" VALUES('01M7X29X0PGH1DVXV0VVVQP2FW','INDEXED','1.2.840.10008.5.1.4.1.1.7','1.2.3.1.5','1.2.840.10008.1.2','A','B','ffffffffffffffffffffffffffffffff','2026-11-20T18:08:08.214479+00:00',1000,900,'0000000000000000000000000000000000000000000000000000000000000005','1.9','1.9.1','8eb656ab-b96e-4735-8c70-e9d6e315cb39','{"Patient": {}, "Study": {}, "Series": {}, "Instance": {}}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-20T18:08:08.228152+00:00');
INSERT INTO "instance" VALUES('01M7X29X0PGH1DVXV0VVVQP2FX','PARKED','1.2.840.10008.5.1.4.1.1.7','1.2.3.1.6','1.2.840.10008.1.2','A','B','ffffffffffffffffffffffffffffffff','2026-11-20T18:08:08.214488+00:00',1000,900,'0000000000000000000000000000000000000000000000000000000000000006',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"key": "parked/x", "version_id": null, "crc64nvme": "AAAAAAAAAAA="}','the dataset does not parse','look at it','2026-11-20T18:08:08.228491+00:00');
INSERT INTO "instance" VALUES('01M7X29X0PGH1DVXV0VVVQP2FY','DUPLICATE','1.2.840.10008.5.1.4.1.1.7','1.2.3.1.7','1.2.840.10008.1.2','A','B','ffffffffffffffffffffffffffffffff','2026-11-20T18:08:08.214497+00:00',1000,900,'0000000000000000000000000000000000000000000000000000000000000007',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-20T18:08:08.229114+00:00');
INSERT INTO "instance" VALUES('01M7X29X0PRPC6R02SPN2HQATS','RECEIVED','1.2.840.10008.5.1.4.1.1.7','1.2.3.1.8','1.2.840.10008.1.2','A','B','ffffffffffffffffffffffffffffffff','2026-11-20T18:08:08.214508+00:00',1000,900,'0000000000000000000000000000000000000000000000000000000000000008',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-20T18:08:08.214562+00:00');
CREATE TABLE outbox (
    message_id TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    job_id     TEXT,
    body       TEXT NOT NULL,
    made_at    TEXT NOT NULL,
    sent_at    TEXT,
    queue_id   TEXT                            -- the queue's own id, our proof that it was accepted
);
INSERT INTO "outbox" VALUES('87f640cb-0696-409f-b990-a712aa9e4c6d','incoming','c0c0f868-c41f-4bae-aac0-3bc88b620cee','{"JobId": "c0c0f868-c41f-4bae-aac0-3bc88b620cee", "StudyInstanceUID": "1.9", "OpenedAt": "2026-11-20T18:08:08.219611+00:00"}','2026-11-20T18:08:08.219611+00:00','2026-11-20T18:08:08.222116+00:00','q-1');
INSERT INTO "outbox" VALUES('13edc166-1a82-4ab9-b15a-6f3f0a702707','completed','c0c0f868-c41f-4bae-aac0-3bc88b620cee','{"JobId": "c0c0f868-c41f-4bae-aac0-3bc88b620cee", "Key": "m"}','2026-11-20T18:08:08.221439+00:00','2026-11-20T18:08:08.222450+00:00','q-1');
INSERT INTO "outbox" VALUES('d3b066d4-ee24-40dd-93a0-ec67b009b93e','incoming','40f2be02-d51f-473f-ab32-cb101a74d544','{"JobId": "40f2be02-d51f-473f-ab32-cb101a74d544", "StudyInstanceUID": "1.9", "OpenedAt": "2026-11-20T18:08:08.223152+00:00"}','2026-11-20T18:08:08.223152+00:00','2026-11-20T18:08:08.224769+00:00','q-1');
INSERT INTO "outbox" VALUES('e45a6b77-3abc-4656-9d91-bbf163ac3424','completed','40f2be02-d51f-473f-ab32-cb101a74d544','{"JobId": "40f2be02-d51f-473f-ab32-cb101a74d544", "Key": "m"}','2026-11-20T18:08:08.224445+00:00','2026-11-20T18:08:08.225017+00:00','q-1');
INSERT INTO "outbox" VALUES('1908e465-2c7e-4968-8681-1f95c85f9997','incoming','8eb656ab-b96e-4735-8c70-e9d6e315cb39','{"JobId": "8eb656ab-b96e-4735-8c70-e9d6e315cb39", "StudyInstanceUID": "1.9", "OpenedAt": "2026-11-20T18:08:08.226081+00:00"}','2026-11-20T18:08:08.226081+00:00',NULL,NULL);
INSERT INTO "outbox" VALUES('41edbf0c-09dc-433a-ab7c-3e6c28c24399','status',NULL,'{"n": 1}','2026-11-20T18:08:08.229409+00:00',NULL,NULL);
CREATE TABLE scan_id (
    file_id             INTEGER NOT NULL REFERENCES file_id (file_id),
    series_instance_uid TEXT NOT NULL,
    scan_id             INTEGER NOT NULL,
    PRIMARY KEY (file_id, series_instance_uid),
    UNIQUE (file_id, scan_id)
);
INSERT INTO "scan_id" VALUES(7000000001,'1.9.1',1);
INSERT INTO "scan_id" VALUES(7000000001,'1.9.2',2);
CREATE INDEX entry_ulid ON entry (ulid);
CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE UNIQUE INDEX generation_open ON generation (study_instance_uid) WHERE closed_at IS NULL;
CREATE INDEX generation_unannounced ON generation (job_id) WHERE announced_at IS NULL;
CREATE INDEX instance_state ON instance (state, ulid);
CREATE INDEX instance_sop ON instance (sop_instance_uid);
CREATE INDEX instance_job ON instance (job_id, state);
CREATE INDEX outbox_unsent ON outbox (made_at) WHERE sent_at IS NULL;
COMMIT;
PRAGMA user_version=1;
