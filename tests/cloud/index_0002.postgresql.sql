CREATE TABLE public.ahliimageset (
    id bigint NOT NULL,
    seriesinstanceuid text,
    imagesetid text NOT NULL,
    datastoreid text NOT NULL,
    version bigint,
    isprimary boolean,
    ahlijob_id bigint,
    insertedat timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.ahliimageset_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.ahliimageset_id_seq OWNED BY public.ahliimageset.id;
CREATE TABLE public.ahlijob (
    id bigint NOT NULL,
    jobid text NOT NULL,
    ahlijobid text,
    datastoreid text,
    studyinstanceuid text NOT NULL,
    seriesinstanceuid text NOT NULL,
    status smallint NOT NULL,
    importlocation text NOT NULL,
    resultlocation text NOT NULL,
    submittedat timestamp with time zone,
    endedat timestamp with time zone,
    insertedat timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.ahlijob_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.ahlijob_id_seq OWNED BY public.ahlijob.id;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.edcpipeline (
    id bigint NOT NULL,
    code text NOT NULL,
    label text NOT NULL,
    ddfiles text
);
CREATE SEQUENCE public.edcpipeline_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.edcpipeline_id_seq OWNED BY public.edcpipeline.id;
CREATE TABLE public.edcpipelinefile (
    id bigint NOT NULL,
    edcpipelineid bigint NOT NULL,
    subjecteventcrffileid bigint,
    file_name text NOT NULL,
    status text NOT NULL,
    has_error boolean DEFAULT false NOT NULL,
    ts_create timestamp with time zone NOT NULL
);
CREATE TABLE public.edcpipelinefiledicom (
    id bigint NOT NULL,
    edcpipelinefileid bigint NOT NULL,
    atriuid text NOT NULL,
    studyuid text NOT NULL,
    serieuid text NOT NULL,
    serienum bigint,
    number_of_instances bigint DEFAULT '0'::bigint NOT NULL
);
CREATE SEQUENCE public.edcpipelinefiledicom_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.edcpipelinefiledicom_id_seq OWNED BY public.edcpipelinefiledicom.id;
CREATE TABLE public.edge (
    id bigint NOT NULL,
    edgeid text NOT NULL,
    edgenumber bigint,
    site text,
    lastseen timestamp with time zone,
    statusat timestamp with time zone,
    status json
);
CREATE SEQUENCE public.edge_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.edge_id_seq OWNED BY public.edge.id;
CREATE TABLE public.edgenumber (
    edgenumber bigint NOT NULL,
    edgeid text NOT NULL,
    registered boolean DEFAULT false NOT NULL,
    givenat timestamp with time zone NOT NULL
);
CREATE TABLE public.generation (
    id bigint NOT NULL,
    jobid text NOT NULL,
    edgeid text NOT NULL,
    studyinstanceuid text NOT NULL,
    state text NOT NULL,
    fileid bigint,
    openedat timestamp with time zone,
    closedat timestamp with time zone,
    closereason text,
    objectcount bigint,
    parkedcount bigint,
    indexedcount bigint DEFAULT '0'::bigint NOT NULL,
    conflictcount bigint DEFAULT '0'::bigint NOT NULL,
    bytes bigint,
    manifestbucket text,
    manifestkey text,
    manifestversionid text,
    manifestsha256 text,
    datastoreid text,
    reason text,
    hint text,
    attempts bigint DEFAULT '0'::bigint NOT NULL,
    verifiedat timestamp with time zone,
    insertedat timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.generation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.generation_id_seq OWNED BY public.generation.id;
CREATE TABLE public.ingesterror (
    id bigint NOT NULL,
    fingerprint text NOT NULL,
    edgeid text,
    jobid text,
    messageid text,
    reason text NOT NULL,
    hint text NOT NULL,
    seen bigint DEFAULT '0'::bigint NOT NULL,
    firstat timestamp with time zone NOT NULL,
    lastat timestamp with time zone NOT NULL,
    resolvedat timestamp with time zone
);
CREATE SEQUENCE public.ingesterror_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.ingesterror_id_seq OWNED BY public.ingesterror.id;
CREATE TABLE public.instance (
    id bigint NOT NULL,
    series_id bigint NOT NULL,
    sopinstanceuid text NOT NULL,
    sopclassuid text,
    instancecreationdate text,
    instancecreationtime text,
    imagetype text,
    instancenumber bigint,
    imageorientationpatient text,
    imagepositionpatient text,
    acquisitiondate text,
    acquisitiontime text,
    contentdate text,
    anatomicregionsequence json,
    acquisitionnumber bigint,
    patientorientation text,
    imagecomments text,
    presentationlutshape text,
    samplesperpixel bigint,
    photometricinterpretation text,
    rows bigint,
    columns bigint,
    bitsallocated bigint,
    highbit bigint,
    pixelrepresentation bigint,
    rescaleintercept double precision,
    rescaleslope double precision,
    transfersyntaxuid text NOT NULL,
    size bigint NOT NULL,
    sha256 text NOT NULL,
    receivedsize bigint NOT NULL,
    receivedsha256 text NOT NULL,
    callingaetitle text,
    calledaetitle text,
    associationid text,
    receivedat timestamp with time zone NOT NULL,
    has_error boolean DEFAULT false NOT NULL,
    error text,
    insertedat timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.instance_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.instance_id_seq OWNED BY public.instance.id;
CREATE TABLE public.instanceconflict (
    id bigint NOT NULL,
    jobid text NOT NULL,
    edgeid text NOT NULL,
    studyinstanceuid text NOT NULL,
    seriesinstanceuid text NOT NULL,
    sopinstanceuid text NOT NULL,
    atriuid text NOT NULL,
    bucket text NOT NULL,
    key text NOT NULL,
    versionid text,
    receivedsha256 text NOT NULL,
    reason text NOT NULL,
    insertedat timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.instanceconflict_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.instanceconflict_id_seq OWNED BY public.instanceconflict.id;
CREATE TABLE public.instancelocation (
    id bigint NOT NULL,
    instance_id bigint NOT NULL,
    jobid text NOT NULL,
    bucket text NOT NULL,
    region text NOT NULL,
    key text NOT NULL,
    versionid text,
    crc64nvme text NOT NULL
);
CREATE SEQUENCE public.instancelocation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.instancelocation_id_seq OWNED BY public.instancelocation.id;
CREATE TABLE public.patient (
    id bigint NOT NULL,
    identityissuer text NOT NULL,
    identityid text NOT NULL,
    patientname text,
    patientid text,
    issuerofpatientid text,
    patientbirthdate text,
    patientsex text,
    insertedat timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.patient_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.patient_id_seq OWNED BY public.patient.id;
CREATE TABLE public.series (
    id bigint NOT NULL,
    study_id bigint NOT NULL,
    seriesinstanceuid text NOT NULL,
    seriesdate text,
    seriestime text,
    seriesdescription text,
    seriesdescriptioncodesequence json,
    seriesnumber bigint,
    instancecoerciondatetime text,
    modality text,
    performingphysicianname text,
    performingphysicianidentificationsequence json,
    anatomicalorientationtype text,
    bodypartexamined text,
    protocolname text,
    patientposition text,
    imagecount bigint DEFAULT '0'::bigint NOT NULL,
    insertedat timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.series_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.series_id_seq OWNED BY public.series.id;
CREATE TABLE public.study (
    id bigint NOT NULL,
    patient_id bigint NOT NULL,
    studyinstanceuid text NOT NULL,
    modalitiesinstudy text,
    accessionnumber text,
    nameofphysiciansreadingstudy text,
    studydate text,
    studytime text,
    referringphysicianname text,
    consultingphysicianname text,
    studydescription text,
    specificcharacterset text,
    issuerofaccessionnumbersequence json,
    procedurecodesequence json,
    requestingservice text,
    fileid bigint,
    seriescount bigint DEFAULT '0'::bigint NOT NULL,
    totalimagecount bigint DEFAULT '0'::bigint NOT NULL,
    insertedat timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.study_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.study_id_seq OWNED BY public.study.id;
CREATE VIEW public.studylist AS
 SELECT s.studyinstanceuid,
    p.patientname,
    p.patientid,
    p.identityissuer,
    p.patientbirthdate,
    p.patientsex,
    s.studydate,
    s.studytime,
    s.studydescription,
    s.accessionnumber,
    s.modalitiesinstudy,
    s.seriescount,
    s.totalimagecount,
    s.fileid
   FROM (public.study s
     JOIN public.patient p ON ((p.id = s.patient_id)));
CREATE TABLE public.unannounced (
    id bigint NOT NULL,
    bucket text NOT NULL,
    key text NOT NULL,
    size bigint NOT NULL,
    seenat timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.unannounced_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.unannounced_id_seq OWNED BY public.unannounced.id;
ALTER TABLE ONLY public.ahliimageset ALTER COLUMN id SET DEFAULT nextval('public.ahliimageset_id_seq'::regclass);
ALTER TABLE ONLY public.ahlijob ALTER COLUMN id SET DEFAULT nextval('public.ahlijob_id_seq'::regclass);
ALTER TABLE ONLY public.edcpipeline ALTER COLUMN id SET DEFAULT nextval('public.edcpipeline_id_seq'::regclass);
ALTER TABLE ONLY public.edcpipelinefiledicom ALTER COLUMN id SET DEFAULT nextval('public.edcpipelinefiledicom_id_seq'::regclass);
ALTER TABLE ONLY public.edge ALTER COLUMN id SET DEFAULT nextval('public.edge_id_seq'::regclass);
ALTER TABLE ONLY public.generation ALTER COLUMN id SET DEFAULT nextval('public.generation_id_seq'::regclass);
ALTER TABLE ONLY public.ingesterror ALTER COLUMN id SET DEFAULT nextval('public.ingesterror_id_seq'::regclass);
ALTER TABLE ONLY public.instance ALTER COLUMN id SET DEFAULT nextval('public.instance_id_seq'::regclass);
ALTER TABLE ONLY public.instanceconflict ALTER COLUMN id SET DEFAULT nextval('public.instanceconflict_id_seq'::regclass);
ALTER TABLE ONLY public.instancelocation ALTER COLUMN id SET DEFAULT nextval('public.instancelocation_id_seq'::regclass);
ALTER TABLE ONLY public.patient ALTER COLUMN id SET DEFAULT nextval('public.patient_id_seq'::regclass);
ALTER TABLE ONLY public.series ALTER COLUMN id SET DEFAULT nextval('public.series_id_seq'::regclass);
ALTER TABLE ONLY public.study ALTER COLUMN id SET DEFAULT nextval('public.study_id_seq'::regclass);
ALTER TABLE ONLY public.unannounced ALTER COLUMN id SET DEFAULT nextval('public.unannounced_id_seq'::regclass);
INSERT INTO public.ahliimageset VALUES (1, '1.2.826.0.1.3680043.10.1234.1.1', 'aa', 'dddddddddddddddddddddddddddddddd', 1, true, NULL, '2026-03-01 10:00:03+00');
INSERT INTO public.ahlijob VALUES (3, '00000003-0000-4000-8000-000000000003', NULL, 'dddddddddddddddddddddddddddddddd', '1.2.826.0.1.3680043.10.1234.1', '1.2.826.0.1.3680043.10.1234.1.1', 1, 's3://bucket/north/00000003-0000-4000-8000-000000000003/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/', 's3://bucket/results/north/00000003-0000-4000-8000-000000000003/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/', NULL, NULL, '2026-03-01 10:00:11+00');
INSERT INTO public.ahlijob VALUES (4, '00000005-0000-4000-8000-000000000005', NULL, NULL, '1.2.826.0.1.3680043.10.1234.2', '1.2.826.0.1.3680043.10.1234.2.1', 1, 's3://bucket/south/00000005-0000-4000-8000-000000000005/1.2.826.0.1.3680043.10.1234.2/1.2.826.0.1.3680043.10.1234.2.1/', 's3://bucket/results/south/00000005-0000-4000-8000-000000000005/1.2.826.0.1.3680043.10.1234.2/1.2.826.0.1.3680043.10.1234.2.1/', NULL, NULL, '2026-03-01 10:00:19+00');
INSERT INTO public.ahlijob VALUES (5, '00000006-0000-4000-8000-000000000006', NULL, NULL, '1.2.826.0.1.3680043.10.1234.3', '1.2.826.0.1.3680043.10.1234.3.1', 1, 's3://bucket/north/00000006-0000-4000-8000-000000000006/1.2.826.0.1.3680043.10.1234.3/1.2.826.0.1.3680043.10.1234.3.1/', 's3://bucket/results/north/00000006-0000-4000-8000-000000000006/1.2.826.0.1.3680043.10.1234.3/1.2.826.0.1.3680043.10.1234.3.1/', NULL, NULL, '2026-03-01 10:00:23+00');
INSERT INTO public.ahlijob VALUES (1, '00000001-0000-4000-8000-000000000001', 'j1', 'dddddddddddddddddddddddddddddddd', '1.2.826.0.1.3680043.10.1234.1', '1.2.826.0.1.3680043.10.1234.1.1', 3, 's3://bucket/north/00000001-0000-4000-8000-000000000001/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/', 's3://bucket/results/north/00000001-0000-4000-8000-000000000001/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/', '2026-03-01 10:00:03+00', '2026-03-01 10:00:03+00', '2026-03-01 10:00:03+00');
INSERT INTO public.ahlijob VALUES (2, '00000001-0000-4000-8000-000000000001', 'j2', 'dddddddddddddddddddddddddddddddd', '1.2.826.0.1.3680043.10.1234.1', '1.2.826.0.1.3680043.10.1234.1.2', 2, 's3://bucket/north/00000001-0000-4000-8000-000000000001/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.2/', 's3://bucket/results/north/00000001-0000-4000-8000-000000000001/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.2/', '2026-03-01 10:00:03+00', NULL, '2026-03-01 10:00:03+00');
INSERT INTO public.alembic_version VALUES ('0002');
INSERT INTO public.edcpipeline VALUES (1, 'edge', 'Received by edges', NULL);
INSERT INTO public.edcpipelinefile VALUES (1000000001, 1, NULL, 'north/1.2.826.0.1.3680043.10.1234.1', 'Completed', false, '2026-03-01 09:30:00+00');
INSERT INTO public.edcpipelinefile VALUES (7000000002, 1, NULL, 'south/1.2.826.0.1.3680043.10.1234.2', 'Completed', true, '2026-03-01 09:30:00+00');
INSERT INTO public.edcpipelinefile VALUES (1000000003, 1, NULL, 'north/1.2.826.0.1.3680043.10.1234.3', 'Completed', false, '2026-03-01 09:30:00+00');
INSERT INTO public.edcpipelinefile VALUES (1000000004, 1, NULL, 'north/1.2.826.0.1.3680043.10.1234.4', 'Completed', false, '2026-03-01 09:30:00+00');
INSERT INTO public.edcpipelinefiledicom VALUES (1, 1000000001, '1000000001.1', '1.2.826.0.1.3680043.10.1234.1', '1.2.826.0.1.3680043.10.1234.1.1', 1, 4);
INSERT INTO public.edcpipelinefiledicom VALUES (2, 1000000001, '1000000001.2', '1.2.826.0.1.3680043.10.1234.1', '1.2.826.0.1.3680043.10.1234.1.2', 2, 2);
INSERT INTO public.edcpipelinefiledicom VALUES (5, 7000000002, '7000000002.1', '1.2.826.0.1.3680043.10.1234.2', '1.2.826.0.1.3680043.10.1234.2.1', 1, 2);
INSERT INTO public.edcpipelinefiledicom VALUES (6, 1000000003, '1000000003.1', '1.2.826.0.1.3680043.10.1234.3', '1.2.826.0.1.3680043.10.1234.3.1', NULL, 1);
INSERT INTO public.edcpipelinefiledicom VALUES (7, 1000000004, '1000000004.1', '1.2.826.0.1.3680043.10.1234.4', '1.2.826.0.1.3680043.10.1234.4.1', 1, 2);
INSERT INTO public.edge VALUES (2, 'spare', 2, NULL, NULL, NULL, NULL);
INSERT INTO public.edge VALUES (12, 'south', 7, 'South', '2026-03-01 09:30:00+00', NULL, NULL);
INSERT INTO public.edge VALUES (1, 'north', 1, 'North', '2026-03-01 09:30:00+00', '2026-03-01 09:30:00+00', '{"Counts": {"RECEIVED": 2}}');
INSERT INTO public.edgenumber VALUES (1, 'north', true, '2026-03-01 10:00:00+00');
INSERT INTO public.edgenumber VALUES (2, 'spare', true, '2026-03-01 10:00:00+00');
INSERT INTO public.edgenumber VALUES (7, 'south', false, '2026-03-01 10:00:15+00');
INSERT INTO public.generation VALUES (1, '00000001-0000-4000-8000-000000000001', 'north', '1.2.826.0.1.3680043.10.1234.1', 'VERIFIED', 1000000001, '2026-03-01 09:30:00+00', '2026-03-01 09:32:00+00', 'quiet', 5, 0, 5, 0, 940, 'bucket', 'manifests/north/00000001-0000-4000-8000-000000000001.json', '7df42f94217149da9fd0ea15857a6c52', '6575dc93f359a6746a6208469946df351976d615163272b449da7805bcf47572', 'dddddddddddddddddddddddddddddddd', NULL, NULL, 0, '2026-03-01 10:00:03+00', '2026-03-01 10:00:01+00');
INSERT INTO public.generation VALUES (3, '00000002-0000-4000-8000-000000000002', 'north', '1.2.826.0.1.3680043.10.1234.1', 'CONFLICT', 1000000001, '2026-03-01 09:30:00+00', '2026-03-01 09:32:00+00', 'quiet', 2, 0, 1, 1, 337, 'bucket', 'manifests/north/00000002-0000-4000-8000-000000000002.json', '2f21a2f476ba4f58a27aa55374f7b9d7', 'dec3b80e4af2786fe29e4397db7ffaf96d0a39cb40c4277bb71d10db9c90a2e5', 'dddddddddddddddddddddddddddddddd', 'Instances in conflict with one of the same SOPInstanceUID that came first: 1. They are held, and their series (1) not imported from this generation.', 'compare the two and decide which one is right; nothing was overwritten', 0, '2026-03-01 10:00:07+00', '2026-03-01 10:00:05+00');
INSERT INTO public.generation VALUES (5, '00000003-0000-4000-8000-000000000003', 'north', '1.2.826.0.1.3680043.10.1234.1', 'VERIFIED', 1000000001, '2026-03-01 09:30:00+00', '2026-03-01 09:32:00+00', 'quiet', 2, 0, 2, 0, 376, 'bucket', 'manifests/north/00000003-0000-4000-8000-000000000003.json', '217753eb28dd4eb897fe3eab5d892562', 'e294f9e369e77513e69fe0ad8834341d17042bc4190ea512780d76cbd952309f', 'dddddddddddddddddddddddddddddddd', NULL, NULL, 0, '2026-03-01 10:00:11+00', '2026-03-01 10:00:09+00');
INSERT INTO public.generation VALUES (7, '00000004-0000-4000-8000-000000000004', 'south', '1.2.826.0.1.3680043.10.1234.1', 'CONFLICT', 7000000001, '2026-03-01 09:30:00+00', '2026-03-01 09:32:00+00', 'quiet', 2, 0, 0, 2, 376, 'bucket', 'manifests/south/00000004-0000-4000-8000-000000000004.json', '6fc9539e81c040f9a328f2213ebdf0e5', '7b7852b5cddcfc9deedf5839a98fcaa4cf823a1400d519f2a8bc1e078ba2ec06', NULL, 'this study already carries FileID 1000000001; this generation carries 7000000001. The first one stays, this one is held and not imported', 'compare the two and decide which one is right; nothing was overwritten', 0, '2026-03-01 10:00:15+00', '2026-03-01 10:00:13+00');
INSERT INTO public.generation VALUES (9, '00000005-0000-4000-8000-000000000005', 'south', '1.2.826.0.1.3680043.10.1234.2', 'VERIFIED', 7000000002, '2026-03-01 09:30:00+00', '2026-03-01 09:32:00+00', 'quiet', 2, 0, 2, 0, 376, 'bucket', 'manifests/south/00000005-0000-4000-8000-000000000005.json', '29f3a935107b4ad1803fa9358cafc615', '2540d468ab7696daeb15c9c03610bdca1d3f5d72076d65e466f176577a96abb0', NULL, NULL, NULL, 0, '2026-03-01 10:00:19+00', '2026-03-01 10:00:17+00');
INSERT INTO public.generation VALUES (11, '00000006-0000-4000-8000-000000000006', 'north', '1.2.826.0.1.3680043.10.1234.3', 'VERIFIED', 1000000003, '2026-03-01 09:30:00+00', '2026-03-01 09:32:00+00', 'quiet', 1, 0, 1, 0, 188, 'bucket', 'manifests/north/00000006-0000-4000-8000-000000000006.json', '0cd65bfa1f1a4cc09c80f47660cecfbe', '50a3fdede580b600243760620386fa253f8f7501061d474ad56b04084967ae35', NULL, NULL, NULL, 0, '2026-03-01 10:00:23+00', '2026-03-01 10:00:21+00');
INSERT INTO public.generation VALUES (13, '00000007-0000-4000-8000-000000000007', 'north', '1.2.826.0.1.3680043.10.1234.4', 'DELETED', 1000000004, '2026-03-01 09:30:00+00', '2026-03-01 09:32:00+00', 'quiet', 2, 0, 2, 0, 376, 'bucket', 'manifests/north/00000007-0000-4000-8000-000000000007.json', '6ab8ec6f500748d3b9646601797546cf', '08ceeb9ea6ae489283bdb532ca9e4a849ae3b3d2204c0bd97cfa00b69ecc6d20', NULL, 'the study was deleted from the index by an operator', NULL, 0, '2026-03-01 10:00:27+00', '2026-03-01 10:00:25+00');
INSERT INTO public.generation VALUES (15, '00000008-0000-4000-8000-000000000008', 'north', '1.2.826.0.1.3680043.10.1234.5', 'INCOMING', NULL, '2026-03-01 09:30:00+00', NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, '2026-03-01 10:00:29+00');
INSERT INTO public.generation VALUES (16, '00000009-0000-4000-8000-000000000009', 'north', '1.2.826.0.1.3680043.10.1234.6', 'ANNOUNCED', NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '1 of 2 announced objects are not in the store as announced; the first: north/00000009-0000-4000-8000-000000000009/1.2.826.0.1.3680043.10.1234.6/1.2.826.0.1.3680043.10.1234.6.1/1.2.826.0.1.3680043.10.1234.6.1.1.dcm is missing', 'the edge keeps its copies until they are verified; see what removed or replaced the objects', 1, NULL, '2026-03-01 10:00:31+00');
INSERT INTO public.ingesterror VALUES (1, 'f2490c59f1fa5f830a5ca03a571a0c0f6eb19c9f179a521670b7e5b3d109e958', 'north', '0000000a-0000-4000-8000-00000000000a', '7c5a599a-6730-4306-a716-62545139e82e', 'the body is missing or has wrong: Size', 'see which software sent it; the message waits in the dead-letter queue', 1, '2026-03-01 10:00:33+00', '2026-03-01 10:00:33+00', NULL);
INSERT INTO public.instance VALUES (1, 1, '1.2.826.0.1.3680043.10.1234.1.1.1', '1.2.840.10008.5.1.4.1.1.2', NULL, NULL, 'ORIGINAL\PRIMARY', 1, NULL, '1\2\3', NULL, NULL, NULL, '[{"00080104": {"Value": ["Phantom"], "vr": "LO"}}]', NULL, NULL, NULL, NULL, NULL, NULL, 64, 64, NULL, NULL, NULL, NULL, 1.5, '1.2.840.10008.1.2.1', 188, '5e678a53b36731b8aff8edbf88ed6191ea9ad34920438b7a7bc82025ed8cf3cd', 44, '419c8188b6a1304c4235b2a2df86cc10ab94c94a691084e70818c8d282783943', 'CLIENT_AE', 'EDGE_AE', 'a1', '2026-03-01 09:30:00+00', false, NULL, '2026-03-01 10:00:03+00');
INSERT INTO public.instance VALUES (2, 1, '1.2.826.0.1.3680043.10.1234.1.1.2', '1.2.840.10008.5.1.4.1.1.2', NULL, NULL, 'ORIGINAL\PRIMARY', 1, NULL, '1\2\3', NULL, NULL, NULL, '[{"00080104": {"Value": ["Phantom"], "vr": "LO"}}]', NULL, NULL, NULL, NULL, NULL, NULL, 64, 64, NULL, NULL, NULL, NULL, 1.5, '1.2.840.10008.1.2.1', 188, 'b18ce1ece748bd19737fde4b02d10f1ec835f983964a70d41d025a8b60827663', 44, '7ffa1c8ed636000b97f6f233c53bd5d12678dbfcdd7ee038352bbee6e437ffcd', 'CLIENT_AE', 'EDGE_AE', 'a1', '2026-03-01 09:30:00+00', false, NULL, '2026-03-01 10:00:03+00');
INSERT INTO public.instance VALUES (3, 1, '1.2.826.0.1.3680043.10.1234.1.1.3', '1.2.840.10008.5.1.4.1.1.2', NULL, NULL, 'ORIGINAL\PRIMARY', 1, NULL, '1\2\3', NULL, NULL, NULL, '[{"00080104": {"Value": ["Phantom"], "vr": "LO"}}]', NULL, NULL, NULL, NULL, NULL, NULL, 64, 64, NULL, NULL, NULL, NULL, 1.5, '1.2.840.10008.1.2.1', 188, '76c86df66647a75b285c9ab954151d667f93790bc436b9f001ff45440ddee3bc', 44, '5cd858ad87c419c244ab8c2a6acd549d41643ba9ac451a8749956bd7b1ee64c7', 'CLIENT_AE', 'EDGE_AE', 'a1', '2026-03-01 09:30:00+00', false, NULL, '2026-03-01 10:00:03+00');
INSERT INTO public.instance VALUES (4, 2, '1.2.826.0.1.3680043.10.1234.1.2.1', '1.2.840.10008.5.1.4.1.1.2', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 64, 64, NULL, NULL, NULL, NULL, NULL, '1.2.840.10008.1.2.1', 188, 'c87d27825d984b6227ddf9a4395b7e646c5f82306cbe0f6004c4b5170c2ed59e', 44, '3b76866e54ca1639f38cc5e9fc3521288d03e4dbd1aab7e081c192c733c3c1eb', 'CLIENT_AE', 'EDGE_AE', 'a1', '2026-03-01 09:30:00+00', false, NULL, '2026-03-01 10:00:03+00');
INSERT INTO public.instance VALUES (5, 2, '1.2.826.0.1.3680043.10.1234.1.2.2', '1.2.840.10008.5.1.4.1.1.2', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 64, 64, NULL, NULL, NULL, NULL, NULL, '1.2.840.10008.1.2.1', 188, '40e9a67bcf6f47571de35de1bd71230c1ecf806a7b16c9e248b20b76c5917d55', 44, '308e27d5f67372aa9076a325bea958395472fe74a11c17b6ff40704d76190b4e', 'CLIENT_AE', 'EDGE_AE', 'a1', '2026-03-01 09:30:00+00', false, NULL, '2026-03-01 10:00:03+00');
INSERT INTO public.instance VALUES (7, 1, '1.2.826.0.1.3680043.10.1234.1.1.4', '1.2.840.10008.5.1.4.1.1.2', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 64, 64, NULL, NULL, NULL, NULL, NULL, '1.2.840.10008.1.2.1', 188, 'b7a5add7f8822645967190fa21b3b1308abd1fac42fd9823b177e11bde1f7cf2', 44, 'fc191cf1908805f0182c609490cb53f2c71c2328e567c7ffe918d186cd837312', 'CLIENT_AE', 'EDGE_AE', 'a1', '2026-03-01 09:30:00+00', false, NULL, '2026-03-01 10:00:07+00');
INSERT INTO public.instance VALUES (10, 5, '1.2.826.0.1.3680043.10.1234.2.1.1', '1.2.840.10008.5.1.4.1.1.2', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 64, 64, NULL, NULL, NULL, NULL, NULL, '1.2.840.10008.1.2.1', 188, '18bfe011cfed8d4cbe3ff9218407020b42211147e52d1768658d4a4160f6c042', 44, 'e87a83ad20c3e28e6d821a27acd64809ea42f069ae1c700e91622314c412f76e', 'CLIENT_AE', 'EDGE_AE', 'a1', '2026-03-01 09:30:00+00', true, 'deflated dataset damaged', '2026-03-01 10:00:19+00');
INSERT INTO public.instance VALUES (11, 5, '1.2.826.0.1.3680043.10.1234.2.1.2', '1.2.840.10008.5.1.4.1.1.2', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 64, 64, NULL, NULL, NULL, NULL, NULL, '1.2.840.10008.1.2.1', 188, '02388eb12b8255efdd697a071f1e9c548be77f2f2c54edf4208fe59fb0067a2a', 44, '3b5c976550d70bb9a570eb2162dacc5c94b046d69196895f77881e68d9add397', 'CLIENT_AE', 'EDGE_AE', 'a1', '2026-03-01 09:30:00+00', true, 'deflated dataset damaged', '2026-03-01 10:00:19+00');
INSERT INTO public.instance VALUES (12, 6, '1.2.826.0.1.3680043.10.1234.3.1.1', '1.2.840.10008.5.1.4.1.1.2', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'x
y', NULL, NULL, NULL, 64, 64, NULL, NULL, NULL, NULL, NULL, '1.2.840.10008.1.2.1', 188, 'bbe34a4a3c9e30596b4774963f289e3fc96cebedebf605bb9e47200ff38c73cc', 44, '50877f3550b675fc3b5ce0bea3c29bb6eddf295ec7752311bb34d0079cebd9b6', 'CLIENT_AE', 'EDGE_AE', 'a1', '2026-03-01 09:30:00+00', false, NULL, '2026-03-01 10:00:23+00');
INSERT INTO public.instanceconflict VALUES (1, '00000002-0000-4000-8000-000000000002', 'north', '1.2.826.0.1.3680043.10.1234.1', '1.2.826.0.1.3680043.10.1234.1.1', '1.2.826.0.1.3680043.10.1234.1.1.1', '1000000001.1', 'bucket', 'north/00000002-0000-4000-8000-000000000002/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/1.2.826.0.1.3680043.10.1234.1.1.1.dcm', '6dab87d6689e4434b0fa6f420a8bd5e5', 'd9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa', 'another instance with the same SOPInstanceUID and other content came first; it stays', '2026-03-01 10:00:07+00');
INSERT INTO public.instanceconflict VALUES (2, '00000004-0000-4000-8000-000000000004', 'south', '1.2.826.0.1.3680043.10.1234.1', '1.2.826.0.1.3680043.10.1234.1.1', '1.2.826.0.1.3680043.10.1234.1.1.1', '7000000001.1', 'bucket', 'south/00000004-0000-4000-8000-000000000004/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/1.2.826.0.1.3680043.10.1234.1.1.1.dcm', '34f370e6bae247e1a75b9f8146444160', '419c8188b6a1304c4235b2a2df86cc10ab94c94a691084e70818c8d282783943', 'this study already carries FileID 1000000001; this generation carries 7000000001. The first one stays, this one is held and not imported', '2026-03-01 10:00:15+00');
INSERT INTO public.instanceconflict VALUES (3, '00000004-0000-4000-8000-000000000004', 'south', '1.2.826.0.1.3680043.10.1234.1', '1.2.826.0.1.3680043.10.1234.1.1', '1.2.826.0.1.3680043.10.1234.1.1.2', '7000000001.1', 'bucket', 'south/00000004-0000-4000-8000-000000000004/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/1.2.826.0.1.3680043.10.1234.1.1.2.dcm', 'a590d9a765254300ad77df77778c6609', '7ffa1c8ed636000b97f6f233c53bd5d12678dbfcdd7ee038352bbee6e437ffcd', 'this study already carries FileID 1000000001; this generation carries 7000000001. The first one stays, this one is held and not imported', '2026-03-01 10:00:15+00');
INSERT INTO public.instancelocation VALUES (1, 1, '00000001-0000-4000-8000-000000000001', 'bucket', 'eu-west-1', 'north/00000001-0000-4000-8000-000000000001/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/1.2.826.0.1.3680043.10.1234.1.1.1.dcm', '637b83a887844cff95efbd62279e5a93', 'lky8n3SQ3Sw=');
INSERT INTO public.instancelocation VALUES (2, 2, '00000001-0000-4000-8000-000000000001', 'bucket', 'eu-west-1', 'north/00000001-0000-4000-8000-000000000001/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/1.2.826.0.1.3680043.10.1234.1.1.2.dcm', '319a9c04538746649d697d0bc5cdafc5', 'F/+txyTORqc=');
INSERT INTO public.instancelocation VALUES (3, 3, '00000001-0000-4000-8000-000000000001', 'bucket', 'eu-west-1', 'north/00000001-0000-4000-8000-000000000001/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/1.2.826.0.1.3680043.10.1234.1.1.3.dcm', '3416b8c2e9dd4aacac1f8c7b6c86bbf9', 'aJFdDxT7z94=');
INSERT INTO public.instancelocation VALUES (4, 4, '00000001-0000-4000-8000-000000000001', 'bucket', 'eu-west-1', 'north/00000001-0000-4000-8000-000000000001/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.2/1.2.826.0.1.3680043.10.1234.1.2.1.dcm', 'fd0c5e23c4424232814baf3d6d5790d7', 'BWlaCnuxUTg=');
INSERT INTO public.instancelocation VALUES (5, 5, '00000001-0000-4000-8000-000000000001', 'bucket', 'eu-west-1', 'north/00000001-0000-4000-8000-000000000001/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.2/1.2.826.0.1.3680043.10.1234.1.2.2.dcm', 'b7074e2c51514a529fbde458e02b0b28', 'hNpLUivvyrM=');
INSERT INTO public.instancelocation VALUES (6, 7, '00000002-0000-4000-8000-000000000002', 'bucket', 'eu-west-1', 'north/00000002-0000-4000-8000-000000000002/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/1.2.826.0.1.3680043.10.1234.1.1.4.dcm', '58e7d4effdda43f38735e2b3a8268a21', 'IECpJNzk4to=');
INSERT INTO public.instancelocation VALUES (7, 1, '00000003-0000-4000-8000-000000000003', 'bucket', 'eu-west-1', 'north/00000003-0000-4000-8000-000000000003/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/1.2.826.0.1.3680043.10.1234.1.1.1.dcm', 'e15e95efcd87422698d8b0230ae72903', 'lky8n3SQ3Sw=');
INSERT INTO public.instancelocation VALUES (8, 2, '00000003-0000-4000-8000-000000000003', 'bucket', 'eu-west-1', 'north/00000003-0000-4000-8000-000000000003/1.2.826.0.1.3680043.10.1234.1/1.2.826.0.1.3680043.10.1234.1.1/1.2.826.0.1.3680043.10.1234.1.1.2.dcm', 'effe6f693a544ea99bec081cde90c27b', 'F/+txyTORqc=');
INSERT INTO public.instancelocation VALUES (9, 10, '00000005-0000-4000-8000-000000000005', 'bucket', 'eu-west-1', 'south/00000005-0000-4000-8000-000000000005/1.2.826.0.1.3680043.10.1234.2/1.2.826.0.1.3680043.10.1234.2.1/1.2.826.0.1.3680043.10.1234.2.1.1.dcm', 'd294deb57ed04000999f9d32bfb05a59', 'ik00yaT8fCQ=');
INSERT INTO public.instancelocation VALUES (10, 11, '00000005-0000-4000-8000-000000000005', 'bucket', 'eu-west-1', 'south/00000005-0000-4000-8000-000000000005/1.2.826.0.1.3680043.10.1234.2/1.2.826.0.1.3680043.10.1234.2.1/1.2.826.0.1.3680043.10.1234.2.1.2.dcm', '18ba18f8d1db414587e8bd8dee763991', 'C/4lkfSi568=');
INSERT INTO public.instancelocation VALUES (11, 12, '00000006-0000-4000-8000-000000000006', 'bucket', 'eu-west-1', 'north/00000006-0000-4000-8000-000000000006/1.2.826.0.1.3680043.10.1234.3/1.2.826.0.1.3680043.10.1234.3.1/1.2.826.0.1.3680043.10.1234.3.1.1.dcm', '052b42ea6f5f48459be43163e7b04356', '0bMBmzepEAY=');
INSERT INTO public.patient VALUES (1, 'North', 'P-1', 'Phantom^Ada', 'P-1', NULL, '19701231', 'F', '2026-03-01 10:00:03+00');
INSERT INTO public.patient VALUES (5, 'South', 'study:1.2.826.0.1.3680043.10.1234.2', NULL, NULL, NULL, NULL, NULL, '2026-03-01 10:00:19+00');
INSERT INTO public.patient VALUES (6, 'TRUST', 'sha256:308b48ea6d9c00a2bf9346144e634507d86ab961a74bcaee3226b2f90d219130', 'Phántom^Zoë=山田', 'IIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIII', 'TRUST', NULL, NULL, '2026-03-01 10:00:23+00');
INSERT INTO public.series VALUES (1, 1, '1.2.826.0.1.3680043.10.1234.1.1', NULL, NULL, NULL, NULL, 1, NULL, 'CT', NULL, NULL, NULL, NULL, NULL, NULL, 4, '2026-03-01 10:00:03+00');
INSERT INTO public.series VALUES (2, 1, '1.2.826.0.1.3680043.10.1234.1.2', NULL, NULL, NULL, NULL, 2, NULL, 'RTSTRUCT', NULL, NULL, NULL, NULL, NULL, NULL, 2, '2026-03-01 10:00:03+00');
INSERT INTO public.series VALUES (5, 5, '1.2.826.0.1.3680043.10.1234.2.1', NULL, NULL, NULL, NULL, 1, NULL, 'CT', NULL, NULL, NULL, NULL, NULL, NULL, 2, '2026-03-01 10:00:19+00');
INSERT INTO public.series VALUES (6, 6, '1.2.826.0.1.3680043.10.1234.3.1', NULL, NULL, 'quote '' and \ and �', NULL, NULL, NULL, 'MR', NULL, NULL, NULL, NULL, NULL, NULL, 1, '2026-03-01 10:00:23+00');
INSERT INTO public.study VALUES (1, 1, '1.2.826.0.1.3680043.10.1234.1', 'CT/RTSTRUCT', 'A-1', NULL, '20260301', '093000.25', NULL, NULL, 'Phantom', NULL, NULL, NULL, NULL, 1000000001, 2, 6, '2026-03-01 10:00:03+00');
INSERT INTO public.study VALUES (5, 5, '1.2.826.0.1.3680043.10.1234.2', 'CT', NULL, NULL, '20260301', NULL, NULL, NULL, 'Phantom', NULL, NULL, NULL, NULL, 7000000002, 1, 2, '2026-03-01 10:00:19+00');
INSERT INTO public.study VALUES (6, 6, '1.2.826.0.1.3680043.10.1234.3', 'MR', NULL, NULL, '20260301', NULL, NULL, NULL, 'Phantom', NULL, NULL, NULL, NULL, 1000000003, 1, 1, '2026-03-01 10:00:23+00');
INSERT INTO public.unannounced VALUES (1, 'bucket', 'north/00000001-0000-4000-8000-000000000001/1/2/3.dcm', 7, '2026-11-28 01:25:39.992628+00');
SELECT pg_catalog.setval('public.ahliimageset_id_seq', 1, true);
SELECT pg_catalog.setval('public.ahlijob_id_seq', 6, true);
SELECT pg_catalog.setval('public.edcpipeline_id_seq', 6, true);
SELECT pg_catalog.setval('public.edcpipelinefiledicom_id_seq', 7, true);
SELECT pg_catalog.setval('public.edge_id_seq', 27, true);
SELECT pg_catalog.setval('public.generation_id_seq', 16, true);
SELECT pg_catalog.setval('public.ingesterror_id_seq', 1, true);
SELECT pg_catalog.setval('public.instance_id_seq', 14, true);
SELECT pg_catalog.setval('public.instanceconflict_id_seq', 3, true);
SELECT pg_catalog.setval('public.instancelocation_id_seq', 13, true);
SELECT pg_catalog.setval('public.patient_id_seq', 7, true);
SELECT pg_catalog.setval('public.series_id_seq', 7, true);
SELECT pg_catalog.setval('public.study_id_seq', 7, true);
SELECT pg_catalog.setval('public.unannounced_id_seq', 1, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.ahliimageset
    ADD CONSTRAINT pk_ahliimageset PRIMARY KEY (id);
ALTER TABLE ONLY public.ahlijob
    ADD CONSTRAINT pk_ahlijob PRIMARY KEY (id);
ALTER TABLE ONLY public.edcpipeline
    ADD CONSTRAINT pk_edcpipeline PRIMARY KEY (id);
ALTER TABLE ONLY public.edcpipelinefile
    ADD CONSTRAINT pk_edcpipelinefile PRIMARY KEY (id);
ALTER TABLE ONLY public.edcpipelinefiledicom
    ADD CONSTRAINT pk_edcpipelinefiledicom PRIMARY KEY (id);
ALTER TABLE ONLY public.edge
    ADD CONSTRAINT pk_edge PRIMARY KEY (id);
ALTER TABLE ONLY public.edgenumber
    ADD CONSTRAINT pk_edgenumber PRIMARY KEY (edgenumber);
ALTER TABLE ONLY public.generation
    ADD CONSTRAINT pk_generation PRIMARY KEY (id);
ALTER TABLE ONLY public.ingesterror
    ADD CONSTRAINT pk_ingesterror PRIMARY KEY (id);
ALTER TABLE ONLY public.instance
    ADD CONSTRAINT pk_instance PRIMARY KEY (id);
ALTER TABLE ONLY public.instanceconflict
    ADD CONSTRAINT pk_instanceconflict PRIMARY KEY (id);
ALTER TABLE ONLY public.instancelocation
    ADD CONSTRAINT pk_instancelocation PRIMARY KEY (id);
ALTER TABLE ONLY public.patient
    ADD CONSTRAINT pk_patient PRIMARY KEY (id);
ALTER TABLE ONLY public.series
    ADD CONSTRAINT pk_series PRIMARY KEY (id);
ALTER TABLE ONLY public.study
    ADD CONSTRAINT pk_study PRIMARY KEY (id);
ALTER TABLE ONLY public.unannounced
    ADD CONSTRAINT pk_unannounced PRIMARY KEY (id);
ALTER TABLE ONLY public.ahliimageset
    ADD CONSTRAINT uq_ahliimageset_datastoreid_imagesetid UNIQUE (datastoreid, imagesetid);
ALTER TABLE ONLY public.ahlijob
    ADD CONSTRAINT uq_ahlijob_jobid_studyinstanceuid_seriesinstanceuid UNIQUE (jobid, studyinstanceuid, seriesinstanceuid);
ALTER TABLE ONLY public.edcpipeline
    ADD CONSTRAINT uq_edcpipeline_code UNIQUE (code);
ALTER TABLE ONLY public.edcpipelinefiledicom
    ADD CONSTRAINT uq_edcpipelinefiledicom_atriuid UNIQUE (atriuid);
ALTER TABLE ONLY public.edcpipelinefiledicom
    ADD CONSTRAINT uq_edcpipelinefiledicom_edcpipelinefileid_studyuid_serieuid UNIQUE (edcpipelinefileid, studyuid, serieuid);
ALTER TABLE ONLY public.edge
    ADD CONSTRAINT uq_edge_edgeid UNIQUE (edgeid);
ALTER TABLE ONLY public.edge
    ADD CONSTRAINT uq_edge_edgenumber UNIQUE (edgenumber);
ALTER TABLE ONLY public.generation
    ADD CONSTRAINT uq_generation_jobid UNIQUE (jobid);
ALTER TABLE ONLY public.ingesterror
    ADD CONSTRAINT uq_ingesterror_fingerprint UNIQUE (fingerprint);
ALTER TABLE ONLY public.instance
    ADD CONSTRAINT uq_instance_sopinstanceuid UNIQUE (sopinstanceuid);
ALTER TABLE ONLY public.instanceconflict
    ADD CONSTRAINT uq_instanceconflict_jobid_sopinstanceuid UNIQUE (jobid, sopinstanceuid);
ALTER TABLE ONLY public.instancelocation
    ADD CONSTRAINT uq_instancelocation_bucket_key UNIQUE (bucket, key);
ALTER TABLE ONLY public.patient
    ADD CONSTRAINT uq_patient_identityissuer_identityid UNIQUE (identityissuer, identityid);
ALTER TABLE ONLY public.series
    ADD CONSTRAINT uq_series_study_id_seriesinstanceuid UNIQUE (study_id, seriesinstanceuid);
ALTER TABLE ONLY public.study
    ADD CONSTRAINT uq_study_studyinstanceuid UNIQUE (studyinstanceuid);
ALTER TABLE ONLY public.unannounced
    ADD CONSTRAINT uq_unannounced_bucket_key UNIQUE (bucket, key);
CREATE INDEX ix_ahliimageset_ahlijob_id ON public.ahliimageset USING btree (ahlijob_id);
CREATE INDEX ix_ahliimageset_seriesinstanceuid ON public.ahliimageset USING btree (seriesinstanceuid);
CREATE INDEX ix_ahlijob_status ON public.ahlijob USING btree (status);
CREATE INDEX ix_edcpipelinefile_edcpipelineid ON public.edcpipelinefile USING btree (edcpipelineid);
CREATE INDEX ix_edcpipelinefiledicom_studyuid ON public.edcpipelinefiledicom USING btree (studyuid);
CREATE INDEX ix_edgenumber_edgeid ON public.edgenumber USING btree (edgeid);
CREATE INDEX ix_generation_edgeid ON public.generation USING btree (edgeid);
CREATE INDEX ix_generation_studyinstanceuid ON public.generation USING btree (studyinstanceuid);
CREATE INDEX ix_ingesterror_jobid ON public.ingesterror USING btree (jobid);
CREATE INDEX ix_instance_series_id ON public.instance USING btree (series_id);
CREATE INDEX ix_instanceconflict_sopinstanceuid ON public.instanceconflict USING btree (sopinstanceuid);
CREATE INDEX ix_instanceconflict_studyinstanceuid ON public.instanceconflict USING btree (studyinstanceuid);
CREATE INDEX ix_instancelocation_instance_id ON public.instancelocation USING btree (instance_id);
CREATE INDEX ix_study_patient_id ON public.study USING btree (patient_id);
ALTER TABLE ONLY public.ahliimageset
    ADD CONSTRAINT fk_ahliimageset_ahlijob_id FOREIGN KEY (ahlijob_id) REFERENCES public.ahlijob(id);
ALTER TABLE ONLY public.edcpipelinefile
    ADD CONSTRAINT fk_edcpipelinefile_edcpipelineid FOREIGN KEY (edcpipelineid) REFERENCES public.edcpipeline(id);
ALTER TABLE ONLY public.edcpipelinefiledicom
    ADD CONSTRAINT fk_edcpipelinefiledicom_edcpipelinefileid FOREIGN KEY (edcpipelinefileid) REFERENCES public.edcpipelinefile(id);
ALTER TABLE ONLY public.instance
    ADD CONSTRAINT fk_instance_series_id FOREIGN KEY (series_id) REFERENCES public.series(id);
ALTER TABLE ONLY public.instancelocation
    ADD CONSTRAINT fk_instancelocation_instance_id FOREIGN KEY (instance_id) REFERENCES public.instance(id);
ALTER TABLE ONLY public.series
    ADD CONSTRAINT fk_series_study_id FOREIGN KEY (study_id) REFERENCES public.study(id);
ALTER TABLE ONLY public.study
    ADD CONSTRAINT fk_study_patient_id FOREIGN KEY (patient_id) REFERENCES public.patient(id);
