-- reactor.acknowledge() leaves the runs' counters to reactor.note_runs().
drop function if exists reactor.acknowledge(uuid[], uuid[], bigint[], jsonb, jsonb);
