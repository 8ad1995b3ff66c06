-- Cleanup: commands that run in the worktree of a closed ticket, once, before it is removed.

-- 1 for a cleanup. Its kind here is that of a setup, whose rules it shares: commands of the project, without an agent, a gate or
-- a verdict.
ALTER TABLE attempt ADD COLUMN is_cleanup INTEGER NOT NULL DEFAULT 0
    CONSTRAINT is_cleanup_is_a_flag CHECK (is_cleanup IN (0, 1) AND (is_cleanup = 0 OR kind = 'setup'));

-- The first of the ports that its ticket had until it closed, for its cleanup: what is to be cleaned up may be named after
-- it. Another ticket may have that port by then. NULL when it had none.
ALTER TABLE worktree ADD COLUMN first_port INTEGER;

-- The cleanup of a worktree that is due for removal. The row goes with the worktree.
CREATE TABLE cleanup (
    ticket_id  INTEGER PRIMARY KEY REFERENCES ticket (ticket_id),
    -- due: its commands may run.  running: an attempt runs them.  over: they ran, or were given up; the worktree goes next.
    step       TEXT    NOT NULL CONSTRAINT cleanup_step_is_known CHECK (step IN ('due', 'running', 'over')),
    -- The last attempt; NULL before the first one.
    attempt_id INTEGER REFERENCES attempt (attempt_id),
    -- Attempts that said nothing about the commands.
    strikes    INTEGER NOT NULL DEFAULT 0 CONSTRAINT cleanup_strikes_are_counted CHECK (strikes >= 0),
    -- The next attempt waits until then.
    not_before INTEGER NOT NULL DEFAULT 0,
    -- When the worktree was due for removal. A cleanup that cannot run does not keep it for ever.
    since      INTEGER NOT NULL,
    CONSTRAINT a_running_cleanup_has_an_attempt CHECK (step <> 'running' OR attempt_id IS NOT NULL)
) STRICT;
-- For the dispatcher's look at what is due.
CREATE INDEX cleanup_by_step ON cleanup (step);

DROP VIEW attempt_json;

-- As before, with what marks a cleanup.
CREATE VIEW attempt_json AS
SELECT a.attempt_id, a.ticket_id,
       json_object(
           'attempt_id', a.attempt_id, 'ticket_id', a.ticket_id, 'stage_index', a.stage_index, 'stage', a.stage,
           'worker_id', a.worker_id, 'state', a.state, 'outcome', a.outcome, 'failure', a.failure, 'detail', a.detail,
           'exit_code', a.exit_code, 'signal', a.signal, 'claude_session_id', a.claude_session_id,
           'resumed', a.resumed, 'asks_outcome', a.asks_outcome,
           'budget_usd', CASE WHEN a.budget_usd IS NOT NULL THEN format('%!.17g', a.budget_usd) END,
           'budget_of', a.budget_of, 'limit_reached', a.limit_reached, 'num_turns', a.num_turns,
           'cost_usd', CASE WHEN a.cost_usd IS NOT NULL THEN format('%!.17g', a.cost_usd) END,
           'input_tokens', a.input_tokens, 'output_tokens', a.output_tokens, 'cached_tokens', a.cached_tokens,
           'peak_memory_bytes', a.peak_memory_bytes,
           'seen_worth', CASE WHEN a.seen_worth IS NOT NULL THEN format('%!.17g', a.seen_worth) END,
           'model', a.model,
           'assumed_usd', CASE WHEN a.assumed_usd IS NOT NULL THEN format('%!.17g', a.assumed_usd) END,
           'cut_short', a.cut_short, 'granted_at', a.granted_at, 'started_at', a.started_at, 'ended_at', a.ended_at,
           'stop_mode', a.stop_mode, 'suspect', a.suspect, 'overdue', a.overdue, 'trouble', a.trouble,
           'may_create_tickets', a.may_create_tickets, 'timeout_seconds', a.timeout_seconds,
           'progress', a.progress, 'progress_percent', a.progress_percent, 'progress_at', a.progress_at,
           'kind', a.kind, 'is_cleanup', a.is_cleanup, 'gate', a.gate, 'commands', a.commands, 'commit_id', a.commit_id, 'is_base', a.is_base,
           'verdict', a.verdict, 'output_tail', a.output_tail, 'note', a.note,
           -- Too long for a list of attempts.
           'tests', NULL) AS attempt
  FROM attempt_row a;
