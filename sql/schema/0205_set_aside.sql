-- How far the deadline timer has got beyond rows that the application refuses to have updated: what is due up to there
-- is left alone until a moment, so that those behind have their turn however many they are, and the server's
-- log is not full of them. A row for each kind: see sql/functions/sweep.sql and reevaluate_clocks.sql.
create table if not exists reactor.set_aside (
    kind text primary key check (kind in ('clock', 'lease', 'overdue')),
    -- the place, in the order in which they are looked at
    due timestamptz not null,
    id uuid not null,
    again_at timestamptz not null
);

revoke all on reactor.set_aside from public;
