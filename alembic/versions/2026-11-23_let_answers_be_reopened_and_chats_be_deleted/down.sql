DROP FUNCTION log_reopen;
ALTER TABLE chats DROP COLUMN deleted_at;
