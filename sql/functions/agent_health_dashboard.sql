--! requires: now
-- Read by the application's dashboards and by people: the last 24 hours of each tenant, and what waits.
-- security_invoker: everybody sees the tenants that their own policies show them. For the two columns that
-- count events, those who may read the view may read whose an event is, of their own tenant, and no more.
do $$
declare
  v_table regclass;
begin
  foreach v_table in array array['reactor.events', 'reactor.dead_events']::regclass[] loop
    if exists (select from pg_catalog.pg_policy p where p.polrelid = v_table and p.polname = 'reactor_tenant') then
      continue;
    end if;
    execute format('alter table %s enable row level security', v_table);
    execute format('create policy tenant_isolation on %s for select to authenticated using (tenant_id = (select reactor.caller_tenant()))', v_table);
    execute format('create policy service_role_all on %s for select to service_role, reactor using (true)', v_table);
    execute format('create policy reactor_tenant on %s for select to reactor_handler using (tenant_id = (select reactor.current_tenant()))', v_table);
    execute format('grant select (tenant_id) on %s to authenticated, service_role, reactor, reactor_handler', v_table);
  end loop;
end
$$;

-- CREATE OR REPLACE keeps what depends on the view, but cannot take columns away: an older view of that name goes.
do $$
begin
  if to_regclass('public.agent_health_dashboard') is not null and array[
       'tenant_id', 'tenant_name', 'running_runs', 'failed_runs', 'avg_duration_ms', 'completed_runs', 'pending_orders',
       'unresolved_exceptions', 'overdue_clocks', 'unacknowledged_alerts', 'pending_events', 'dead_events'
     ]::name[] <> array(select a.attname from pg_catalog.pg_attribute a
                         where a.attrelid = to_regclass('public.agent_health_dashboard') and a.attnum > 0 order by a.attnum) then
    drop view public.agent_health_dashboard;
  end if;
end
$$;

create or replace view public.agent_health_dashboard with (security_invoker = true) as
select t.id as tenant_id,
       t.name as tenant_name,
       r.running_runs,
       r.failed_runs,
       r.avg_duration_ms,
       r.completed_runs,
       (select count(*) from public.order_processing_queue q where q.tenant_id = t.id and q.status = 'pending') as pending_orders,
       (select count(*) from public.order_processing_exceptions x where x.tenant_id = t.id and x.resolved = false) as unresolved_exceptions,
       (select count(*) from public.engagement_clocks c where c.tenant_id = t.id and c.next_touch_due <= (select reactor.now())) as overdue_clocks,
       (select count(*) from public.agent_alerts a where a.tenant_id = t.id and a.acknowledged = false) as unacknowledged_alerts,
       coalesce(e.waiting, 0) as pending_events,
       coalesce(d.dead, 0) as dead_events
  from public.tenants t
  left join (select w.tenant_id, count(*) as waiting from reactor.events w group by w.tenant_id) e on e.tenant_id = t.id
  left join (select w.tenant_id, count(*) as dead from reactor.dead_events w group by w.tenant_id) d on d.tenant_id = t.id
 cross join lateral (
   select count(*) filter (where s.status = 'running') as running_runs,
          count(*) filter (where s.status = 'failed') as failed_runs,
          round(avg(s.duration_ms), 1) as avg_duration_ms,
          count(*) filter (where s.status = 'completed') as completed_runs
     from public.agent_autonomous_runs s
    where s.tenant_id = t.id and s.started_at > (select reactor.now()) - interval '24 hours'
 ) r;

revoke all on public.agent_health_dashboard from public, anon, authenticated;
grant select on public.agent_health_dashboard to authenticated, service_role, reactor, reactor_handler;
