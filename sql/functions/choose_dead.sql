--! requires: now
-- The ids of dead events that fit all that is given, oldest first. Called by reactor.replay() and
-- reactor.discard_dead(), and with p_limit null by `reactor dead` to say how many there are.
create or replace function reactor.choose_dead(
    p_ids bigint[] default null,
    p_type text default null,
    p_tenant uuid default null,
    p_since interval default null,
    p_limit int default null
) returns table (id bigint)
language plpgsql stable security definer set search_path = ''
as $$
#variable_conflict use_column
begin
    if p_ids is null and p_type is null and p_tenant is null and p_since is null then
        raise exception 'which dead events? give ids, a type, a tenant or a time' using errcode = 'RX003';
    end if;
    return query
    select d.id
    from reactor.dead_events d
    where (p_ids is null or d.id = any (p_ids))
        and (p_type is null or d.event_type = p_type)
        and (p_tenant is null or d.tenant_id = p_tenant)
        and (p_since is null or d.died_at >= reactor.now() - p_since)
    order by d.id
    limit p_limit;
end;
$$;

revoke all on function reactor.choose_dead(bigint[], text, uuid, interval, int) from public;
grant execute on function reactor.choose_dead(bigint[], text, uuid, interval, int) to reactor;
