-- The first tenant with ready events behind p_after (null: of all), or null. Called by the claimer to step past one of
-- which no claim can be made.
create or replace function reactor.next_tenant(p_after uuid) returns uuid
language sql stable security definer set search_path = ''
begin atomic
    select e.tenant_id from reactor.events e
    where e.available_at is null and (p_after is null or e.tenant_id > p_after)
    order by e.tenant_id
    limit 1;
end;

revoke all on function reactor.next_tenant(uuid) from public;
grant execute on function reactor.next_tenant(uuid) to reactor;
