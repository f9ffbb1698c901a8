--! requires: protect
-- Not an object but a list: the tables handlers may reach out of the box.
do $$
declare
  v_table name;
begin
  foreach v_table in array array[
    'agent_autonomous_runs', 'agent_tenant_locks', 'engagement_clocks', 'agent_policy_violations', 'order_processing_queue',
    'order_processing_exceptions', 'agent_hourly_reflections', 'agent_rate_limits', 'agent_alerts', 'email_provider_failures',
    'profiles', 'clients', 'contacts', 'products', 'orders', 'kanban_cards', 'email_suppressions']::name[]
  loop
    perform reactor.protect(format('public.%I', v_table)::regclass);
  end loop;
  perform reactor.protect('public.tenants', 'id');
end
$$;

-- Who exists is not a handler's business; what its tenant's settings are may be.
revoke insert, delete on public.tenants from reactor_handler;
revoke insert, update, delete on public.profiles from reactor_handler;
