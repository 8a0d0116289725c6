DROP FUNCTION begin_write, unfinished_answers;
DROP TABLE links;
CREATE INDEX devices_by_session ON devices (session_id);
ALTER TABLE devices DROP CONSTRAINT devices_of_session, DROP COLUMN name, DROP COLUMN id;
ALTER TABLE sessions DROP COLUMN writes_since, DROP COLUMN writes;
