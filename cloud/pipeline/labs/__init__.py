"""Labs that fetch their files from quarantine (P014, P170): what a lab may, who has access, who took what."""
