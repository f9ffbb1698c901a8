--! requires: now
-- Who holds which tenant's lease, the oldest first. A tenant's users may write any name and time into theirs.
-- Called by `reactor locks list` and the dashboard.
create or replace function reactor.list_locks(p_limit int default 100)
returns table (
    tenant_id uuid,
    tenant_name text,
    run_id uuid,
    lock_holder text,
    locked_at timestamptz,
    expires_at timestamptz,
    in_flight int,
    is_expired boolean,
    by_replica boolean,
    holder_alive boolean
)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    select l.tenant_id, t.name::text, l.run_id, left(l.lock_holder, 200),
        l.locked_at, l.expires_at,
        coalesce(cardinality(f.ids), 0), l.expires_at <= reactor.now(), r.replica is not null,
        coalesce(r.seen_at > reactor.now() - r.patience, false)
    from public.agent_tenant_locks l
    left join public.tenants t on t.id = l.tenant_id
    left join reactor.in_flight f on f.tenant_id = l.tenant_id and f.run_id = l.run_id
    left join reactor.replicas r on r.replica = l.lock_holder
    order by l.locked_at, l.tenant_id
    limit p_limit;
end;
$$;

revoke all on function reactor.list_locks(int) from public;
grant execute on function reactor.list_locks(int) to reactor;
