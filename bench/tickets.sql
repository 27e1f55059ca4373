-- The tickets of both servers: a thousand of them, of which a call reads the newest twenty.
CREATE TABLE tickets (
    id          INTEGER PRIMARY KEY,
    title       TEXT NOT NULL,
    status      TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    customer_id TEXT NOT NULL,
    body        TEXT NOT NULL,
    created_at  TEXT NOT NULL
) STRICT;

WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000)
INSERT INTO tickets
SELECT n, 'Ticket ' || n || ': the printer on floor ' || (n % 7) || ' says "PC LOAD LETTER"',
       CASE n % 3 WHEN 0 THEN 'closed' ELSE 'open' END, 'cus_' || (1000 + n % 50),
       'It happened again, and nobody knows what it means. ' || n, '2026-07-28T12:00:00Z'
FROM numbers;
