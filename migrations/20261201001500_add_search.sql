-- Full-text search over tickets and over what was said of them: reports, questions, remarks.

-- Titles and descriptions. The texts stay in the table ticket; the index refers to its rows.
CREATE VIRTUAL TABLE ticket_search USING fts5 (
    title,
    description,
    content = 'ticket',
    content_rowid = 'ticket_id',
    tokenize = 'unicode61 remove_diacritics 2'
);

-- Comments of every kind.
CREATE VIRTUAL TABLE comment_search USING fts5 (
    content,
    content = 'comment',
    content_rowid = 'comment_id',
    tokenize = 'unicode61 remove_diacritics 2'
);

-- An index of another table's texts needs each change, together with the old text, which it does not keep.
CREATE TRIGGER ticket_search_added AFTER INSERT ON ticket
BEGIN
    INSERT INTO ticket_search (rowid, title, description) VALUES (NEW.ticket_id, NEW.title, NEW.description);
END;

CREATE TRIGGER ticket_search_changed AFTER UPDATE OF title, description ON ticket
    WHEN NEW.title <> OLD.title OR NEW.description <> OLD.description
BEGIN
    INSERT INTO ticket_search (ticket_search, rowid, title, description)
    VALUES ('delete', OLD.ticket_id, OLD.title, OLD.description);
    INSERT INTO ticket_search (rowid, title, description) VALUES (NEW.ticket_id, NEW.title, NEW.description);
END;

CREATE TRIGGER ticket_search_removed AFTER DELETE ON ticket
BEGIN
    INSERT INTO ticket_search (ticket_search, rowid, title, description)
    VALUES ('delete', OLD.ticket_id, OLD.title, OLD.description);
END;

CREATE TRIGGER comment_search_added AFTER INSERT ON comment
BEGIN
    INSERT INTO comment_search (rowid, content) VALUES (NEW.comment_id, NEW.content);
END;

CREATE TRIGGER comment_search_changed AFTER UPDATE OF content ON comment WHEN NEW.content <> OLD.content
BEGIN
    INSERT INTO comment_search (comment_search, rowid, content) VALUES ('delete', OLD.comment_id, OLD.content);
    INSERT INTO comment_search (rowid, content) VALUES (NEW.comment_id, NEW.content);
END;

CREATE TRIGGER comment_search_removed AFTER DELETE ON comment
BEGIN
    INSERT INTO comment_search (comment_search, rowid, content) VALUES ('delete', OLD.comment_id, OLD.content);
END;

-- What is there already.
INSERT INTO ticket_search (ticket_search) VALUES ('rebuild');
INSERT INTO comment_search (comment_search) VALUES ('rebuild');
