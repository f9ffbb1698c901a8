-- reactor.claim() and reactor.settle() have parameters more; two that differ by defaults could not be told apart.
drop function if exists reactor.claim(text, int, int, interval, uuid, text[], text[]);
drop function if exists reactor.settle(
    uuid[], uuid[], boolean[], bigint[], jsonb, jsonb, int, interval, text[], uuid
);
