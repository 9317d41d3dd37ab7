-- include room
-- include jobs
-- Writes the index entries that wait.
jobs_file()
