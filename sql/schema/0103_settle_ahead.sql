-- reactor.settle() has one parameter more; two that differ by a default could not be told apart.
drop function if exists reactor.settle(
    uuid[], uuid[], boolean[], bigint[], jsonb, jsonb, int, interval, text[], uuid
);
