--! requires: drop_other_signatures, only_executable_by, now
-- The overdue clocks of a tenant as of this instant, most overdue first: computed from the deadline, because
-- is_compliant and days_overdue say how it was when the clock was last judged.

select reactor.drop_other_signatures('get_engagement_violations', array[
  'p_tenant_id uuid → TABLE(clock_id uuid, client_id uuid, contact_id uuid, days_overdue integer, '
    'last_touch_at timestamp with time zone, next_touch_due timestamp with time zone, priority_score numeric)']);

create or replace function public.get_engagement_violations(p_tenant_id uuid)
  returns table (
    clock_id uuid,
    client_id uuid,
    contact_id uuid,
    days_overdue int,
    last_touch_at timestamptz,
    next_touch_due timestamptz,
    priority_score numeric
  )
  language sql stable
  set search_path = ''
begin atomic
  select c.id, c.client_id, c.contact_id,
         floor(extract(epoch from t.now - c.next_touch_due) / 86400)::int,
         c.last_touch_at, c.next_touch_due, c.priority_score
    from (select reactor.now() as now) t
    join public.engagement_clocks c on c.tenant_id = p_tenant_id and c.next_touch_due <= t.now
   order by 4 desc, c.priority_score desc, c.next_touch_due, c.id;
end;

select reactor.only_executable_by('public.get_engagement_violations(uuid)',
                                  '{service_role,authenticated,reactor,reactor_handler}');
