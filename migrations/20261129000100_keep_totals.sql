-- What the agents of a session said last, and bounds for what was stored before there were any.

-- The running total of dollars that the agent's session told at its end; NULL when it told none, or worked on after it. The
-- next attempt of the session owes what comes on top.
ALTER TABLE attempt ADD COLUMN total_usd REAL
    CONSTRAINT total_usd_is_no_debt CHECK (total_usd >= 0);

-- The last total of a session, for an attempt that goes on in it.
CREATE INDEX attempt_total ON attempt (claude_session_id, attempt_id) WHERE total_usd IS NOT NULL;

-- No agent is believed to have cost or used more than this, so that sums stay numbers. Those of tickets follow.
UPDATE ticket
   SET cost_usd = COALESCE((SELECT SUM(MIN(a.cost_usd, 1e6)) FROM attempt a WHERE a.ticket_id = ticket.ticket_id), 0.0)
 WHERE ticket_id IN (SELECT ticket_id FROM attempt WHERE cost_usd > 1e6);
UPDATE attempt
   SET cost_usd = MIN(cost_usd, 1e6),
       num_turns = MIN(num_turns, 1000000000000),
       input_tokens = MIN(input_tokens, 1000000000000),
       output_tokens = MIN(output_tokens, 1000000000000),
       cached_tokens = MIN(cached_tokens, 1000000000000),
       peak_memory_bytes = MIN(peak_memory_bytes, 9007199254740991),
       seen_worth = MIN(seen_worth, 1e13);

-- Until now each attempt was booked with what its session's total had grown by.
UPDATE attempt
   SET total_usd = sums.total
  FROM (SELECT attempt_id, SUM(cost_usd) OVER (PARTITION BY claude_session_id ORDER BY attempt_id) AS total
          FROM attempt) AS sums
 WHERE sums.attempt_id = attempt.attempt_id AND attempt.cost_usd IS NOT NULL;
