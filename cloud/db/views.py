"""The views of the cloud's index, as its newest step makes them (E036)."""

#: What became of the instances of a series: sent = imported + warned + waiting + failed + held + importsoff. One that
#: lies at several places counts once, by the best that became of it; held is what stands in no import job, or in
#: conflict; importsoff is what came while AHLI_ENABLED was false (E047).
SERIESIMPORT_VIEW = """
CREATE VIEW seriesimport AS
SELECT st.studyinstanceuid, se.seriesinstanceuid, se.modality,
       count(i.id) + coalesce(max(c.alone), 0) AS sent,
       count(w.instance_id) AS ins3,
       sum(CASE WHEN w.best = 3 THEN 1 ELSE 0 END) AS imported,
       sum(CASE WHEN w.best = 2 THEN 1 ELSE 0 END) AS warned,
       sum(CASE WHEN w.best = 1 THEN 1 ELSE 0 END) AS waiting,
       sum(CASE WHEN w.best = 0 THEN 1 ELSE 0 END) AS failed,
       sum(CASE WHEN w.best = -1 THEN 1 ELSE 0 END) + coalesce(max(c.alone), 0) AS held,
       sum(CASE WHEN w.best = -2 THEN 1 ELSE 0 END) AS importsoff,
       coalesce(max(c.conflicts), 0) AS conflicts,
       sum(CASE WHEN i.importwarnings IS NULL THEN 0 ELSE 1 END) AS preflight
  FROM series se
  JOIN study st ON st.id = se.study_id
  LEFT JOIN instance i ON i.series_id = se.id
  LEFT JOIN (SELECT l.instance_id,
                    max(CASE WHEN l.importstate = 'IMPORTED' THEN 3 WHEN l.importstate = 'WARNED' THEN 2
                             WHEN l.importstate = 'FAILED' AND NOT l.importretry THEN 0
                             WHEN j.id IS NOT NULL THEN 1 WHEN g.importsoff THEN -2 ELSE -1 END) AS best
               FROM instancelocation l
               JOIN instance li ON li.id = l.instance_id
               JOIN series ls ON ls.id = li.series_id
               LEFT JOIN ahlijob j ON j.jobid = l.jobid AND j.seriesinstanceuid = ls.seriesinstanceuid
               LEFT JOIN generation g ON g.jobid = l.jobid
              GROUP BY l.instance_id) w ON w.instance_id = i.id
  LEFT JOIN (SELECT x.studyinstanceuid, x.seriesinstanceuid, count(DISTINCT x.sopinstanceuid) AS conflicts,
                    count(DISTINCT CASE WHEN xi.id IS NULL THEN x.sopinstanceuid END) AS alone
               FROM instanceconflict x
               LEFT JOIN instance xi ON xi.sopinstanceuid = x.sopinstanceuid
              GROUP BY x.studyinstanceuid, x.seriesinstanceuid) c
         ON c.studyinstanceuid = st.studyinstanceuid AND c.seriesinstanceuid = se.seriesinstanceuid
 GROUP BY se.id, st.studyinstanceuid, se.seriesinstanceuid, se.modality
"""

#: E036: one line a study, as a person looks for it.
STUDYLIST_VIEW = """
CREATE VIEW studylist AS
SELECT s.studyinstanceuid, p.patientname, p.patientid, p.identityissuer, p.patientbirthdate, p.patientsex,
       s.studydate, s.studytime, s.studydescription, s.accessionnumber, s.modalitiesinstudy,
       s.seriescount, s.totalimagecount, s.fileid
  FROM study s JOIN patient p ON p.id = s.patient_id
"""
