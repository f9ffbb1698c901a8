--! requires: order_queued, engagement_overdue
-- What already waited when the triggers came: in an adopted database, orders that are pending and clocks that
-- are overdue have no event, and none would ever come. Once; later these rows got their events by trigger.
do $$
begin
  if exists (select from reactor.migrations m where m.name = 'triggers/adopted_backlog') then
    return;
  end if;
  insert into reactor.events (tenant_id, event_type, subject_id)
  select w.tenant_id, w.event_type, w.id
    from (select q.tenant_id, 'order.queued' as event_type, q.id, q.queued_at as since
            from public.order_processing_queue q where q.status = 'pending'
          union all
          select c.tenant_id, 'engagement.overdue', c.id, c.next_touch_due
            from public.engagement_clocks c where not c.is_compliant) w
   where not exists (select from reactor.events e where e.tenant_id = w.tenant_id and e.event_type = w.event_type and e.subject_id = w.id)
   order by w.since;
end
$$;
