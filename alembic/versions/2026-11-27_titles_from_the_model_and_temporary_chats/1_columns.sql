-- Where the title comes from: the first words, then 'requested' while the model may be writing one, then 'model'; or the
-- user. NULL: there is no title yet, or it is older than this column. A request is made for 'words' only, and nothing
-- leads back to it, so there is at most one a chat.
ALTER TABLE chats ADD COLUMN title_from text CHECK (title_from IN ('words', 'requested', 'model', 'user'));

-- Code that is older than `title_from` changes titles only for users.
CREATE FUNCTION mark_title_of_user() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  NEW.title_from := 'user';
  RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION mark_title_of_user FROM PUBLIC;
CREATE TRIGGER title_of_user BEFORE UPDATE OF title ON chats FOR EACH ROW
  WHEN (OLD.title IS NOT NULL AND NEW.title IS DISTINCT FROM OLD.title
        AND NEW.title_from IS NOT DISTINCT FROM OLD.title_from) EXECUTE FUNCTION mark_title_of_user();

-- A temporary chat is in no list and in no search. `left_at` is when its page was left, until another page opens it.
-- `left_by` is the number of the page that was left, because a page may report that it is open and be left meanwhile.
ALTER TABLE chats ADD COLUMN is_temporary boolean NOT NULL DEFAULT false;
ALTER TABLE chats ADD COLUMN left_at timestamptz;
ALTER TABLE chats ADD COLUMN left_by integer;

-- A request for a title changes nothing that a page shows, so it is neither counted nor announced.
DROP TRIGGER announce ON chats;
CREATE TRIGGER announce_new BEFORE INSERT ON chats FOR EACH ROW EXECUTE FUNCTION announce_chat();
CREATE TRIGGER announce BEFORE UPDATE ON chats FOR EACH ROW
  WHEN ((OLD.title_from, NEW.title_from) IS DISTINCT FROM ('words', 'requested')) EXECUTE FUNCTION announce_chat();
