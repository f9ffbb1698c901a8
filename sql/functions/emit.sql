--! requires: ring_timer, now
-- Puts an event in the outbox, in the caller's transaction: it exists when that commits, and
-- never if it does not. Called by applications, by handlers (ctx.emit) and by `reactor emit`.
--
-- The event remembers what caused it: a handler's transaction carries reactor.cause_id and
-- reactor.depth. With a dedup_key, the second event while the first is unfinished is not made;
-- the first one's id is returned.
create or replace function reactor.emit(
    tenant_id uuid,
    event_type text,
    payload jsonb default '{}',
    subject_id uuid default null,
    delay interval default '0',
    priority int default 0,
    dedup_key text default null
) returns bigint
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    -- A replica takes several times as much memory while it reads a payload; and one that it cannot hold kills it.
    c_bytes constant int := 16 * 1024 * 1024;
    -- Types are qualified: temporary ones of the caller's, which may run code, come first on an empty search_path.
    v_bytes int;
    v_due pg_catalog.timestamptz;
    v_traceparent pg_catalog.text;
    v_cause_id bigint;
    v_depth int;
    v_id bigint;
begin
    -- One question for what is out of the ordinary, because each is made ready anew in each transaction.
    if emit.tenant_id is null or emit.event_type is null or emit.event_type = '' or length(emit.event_type) > 200
        or emit.delay is null or emit.delay <> interval '0'
        or pg_catalog.pg_column_size(emit.payload) > c_bytes
        or pg_catalog.pg_column_compression(emit.payload) is not null
        or current_setting('reactor.traceparent', true) is not null
        or current_setting('role', true) = 'reactor_handler' then
        if emit.tenant_id is null then
            raise exception 'reactor.emit: tenant_id is null' using errcode = 'RX003';
        end if;
        if emit.event_type is null or emit.event_type = '' or length(emit.event_type) > 200 then
            raise exception 'reactor.emit: event_type must have 1 to 200 characters' using errcode = 'RX003';
        end if;
        -- One that comes out of a table is as it was stored there, compressed perhaps. In an array it is not.
        v_bytes := pg_catalog.pg_column_size(case
            when pg_catalog.pg_column_compression(emit.payload) is null then emit.payload
            else pg_catalog.jsonb_build_array(emit.payload) end);
        if v_bytes > c_bytes then
            raise exception 'reactor.emit: the payload has % bytes, an event holds at most %', v_bytes, c_bytes
                using errcode = 'RX003', hint = 'write it into a table, and give the event its id as subject_id';
        end if;
        if emit.delay is null or emit.delay < interval '0' then
            raise exception 'reactor.emit: delay must not be negative' using errcode = 'RX003';
        end if;
        -- From 17 on an interval may be infinite; an event that is due then is one that was set aside.
        if emit.delay > interval '100 years' then
            raise exception 'reactor.emit: delay must not be longer than 100 years' using errcode = 'RX003';
        end if;
        -- A handler speaks for its own tenant only. (In here current_user is the owner; the setting
        -- "role" still says what the handler's transaction became.)
        if current_setting('role', true) = 'reactor_handler'
            and emit.tenant_id::pg_catalog.text is distinct from current_setting('reactor.tenant_id', true) then
            raise exception 'reactor.emit: a handler may emit for its own tenant only'
                using errcode = 'insufficient_privilege',
                    detail = format('the handler''s tenant is %s, the event''s %s',
                        current_setting('reactor.tenant_id', true), emit.tenant_id);
        end if;
        if emit.delay > interval '0' then
            v_due := reactor.now() + emit.delay;
        end if;
        v_traceparent := nullif(current_setting('reactor.traceparent', true), '');
        v_cause_id := nullif(current_setting('reactor.cause_id', true), '')::bigint;
        v_depth := nullif(current_setting('reactor.depth', true), '')::int + 1;
    end if;

    loop
        insert into reactor.events as e (
            tenant_id, event_type, subject_id, payload, priority, available_at, dedup_key,
            traceparent, cause_id, depth)
        select
            t.id, emit.event_type, emit.subject_id, coalesce(emit.payload, '{}'), coalesce(emit.priority, 0),
            v_due, emit.dedup_key, v_traceparent, v_cause_id, coalesce(v_depth, 0)
        from public.tenants t
        where t.id = emit.tenant_id
        on conflict (tenant_id, dedup_key) where dedup_key is not null do nothing
        returning e.id into v_id;
        exit when found;

        if not exists (select from public.tenants t where t.id = emit.tenant_id) then
            raise exception 'reactor.emit: there is no tenant %', emit.tenant_id using errcode = 'RX003';
        end if;
        select e.id into v_id
        from reactor.events e
        where e.tenant_id = emit.tenant_id and e.dedup_key = emit.dedup_key;
        if found then
            return v_id;
        end if;
        -- The first one was finished in between: try again.
    end loop;

    if v_due is null then
        -- reactor.ring(), without the cost of a call
        if pg_catalog.pg_sequence_last_value('reactor.doorbell'::pg_catalog.regclass) > 1 then
            perform pg_catalog.pg_notify('reactor', '');
        end if;
    else
        perform reactor.ring_timer(v_due);
    end if;
    return v_id;
end;
$$;

revoke all on function reactor.emit(uuid, text, jsonb, uuid, interval, int, text) from public;
grant execute on function reactor.emit(uuid, text, jsonb, uuid, interval, int, text)
to reactor, reactor_handler, service_role;
