"""``dicom-cloud pipeline demo``: the pipeline whole on this machine, from uploads to the mails."""
