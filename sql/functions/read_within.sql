-- A tenant's events in the order of p_ids, as reactor.claim() returns them, until their payloads come to p_bytes: one at
-- least. Called by reactor.claim() and reactor.settle() for events whose payloads may be much longer than they are in the
-- table, where they are compressed. Each is read when its turn comes, so what is left for later costs nothing.
create or replace function reactor.read_within(p_tenant uuid, p_run uuid, p_ids bigint[], p_bytes bigint) returns table (
    tenant_id uuid,
    run_id uuid,
    id bigint,
    event_id uuid,
    event_type text,
    subject_id uuid,
    payload text,
    priority int,
    attempts int,
    interruptions int,
    created_at timestamptz,
    traceparent text,
    cause_id bigint,
    depth int
)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    -- Types are qualified: temporary ones of a handler's, which may run code, come first on an empty search_path.
    v_id bigint;
    v_bytes bigint := 0;
begin
    foreach v_id in array p_ids loop
        select p_tenant, p_run, e.id, e.event_id, e.event_type, e.subject_id, e.payload::pg_catalog.text, e.priority,
            e.attempts, e.interruptions, e.created_at, e.traceparent, e.cause_id, e.depth
        into tenant_id, run_id, id, event_id, event_type, subject_id, payload, priority,
            attempts, interruptions, created_at, traceparent, cause_id, depth
        from reactor.events e
        where e.id = v_id;
        -- Somebody else may have finished it since.
        if found then
            return next;
            v_bytes := v_bytes + octet_length(payload);
            exit when v_bytes >= p_bytes;
        end if;
    end loop;
end;
$$;

revoke all on function reactor.read_within(uuid, uuid, bigint[], bigint) from public;
