--! requires: now, engagement_score
-- Keeps priority_score of a tenant's overdue clocks current; one that is compliant again falls to 0. Changes
-- only what differs. Called hourly by the handler of engagement.score, in the tenant's scope: contacts belong
-- to the application, and the engine itself has no right to read them. A client's clock is scored by the
-- client's primary contact.
create or replace function reactor.score_clocks(p_tenant_id uuid) returns int
language plpgsql set search_path = ''
as $$
declare
    v_count int;
begin
    with open_clocks as materialized (
        select c.id, c.client_id, c.contact_id, c.priority_score,
            -- 'infinity', for never, has no days.
            case when isfinite(c.next_touch_due) then
                floor(extract(epoch from reactor.now() - c.next_touch_due) / 86400)::int end as days
        from public.engagement_clocks c
        where c.tenant_id = p_tenant_id and (not c.is_compliant or c.priority_score <> 0)
    ),
    -- Contacts are the application's: an index on client_id may be missing, so they are read once.
    faces as (
        select distinct on (k.client_id) k.client_id, k.is_primary, k.title
        from public.contacts k
        where k.tenant_id = p_tenant_id and k.client_id in (select o.client_id from open_clocks o where o.contact_id is null)
        order by k.client_id, k.is_primary desc nulls last, (coalesce(k.email, '') <> '') desc, k.id
    ),
    wrong as (
        select o.id, s.score
        from open_clocks o
        left join public.contacts k on k.tenant_id = p_tenant_id and k.id = o.contact_id
        left join faces f on o.contact_id is null and f.client_id = o.client_id
        cross join lateral (
            select case when o.days is null or o.days < 0 then 0
                else reactor.engagement_score(
                    o.days, coalesce(k.is_primary, f.is_primary), coalesce(k.title, f.title)) end as score) s
        where o.priority_score is distinct from s.score
    )
    update public.engagement_clocks c
    set priority_score = w.score, updated_at = reactor.now()
    from wrong w
    where c.tenant_id = p_tenant_id and c.id = w.id;
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

revoke all on function reactor.score_clocks(uuid) from public;
grant execute on function reactor.score_clocks(uuid) to reactor_handler;
