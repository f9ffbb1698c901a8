--! requires: drop_other_signatures, only_executable_by, now, skipped
-- Notes that somebody was in touch: called by the application, by its users for their own tenant, and by the
-- engagement handler after it sent an email (p_touched_by NULL, the agent). Returns the id of the client's
-- clock, or of the contact's where no client is given. An interval of no days would be over with the touch: it is one.

select reactor.drop_other_signatures('update_engagement_clock', array[
  'p_tenant_id uuid, p_client_id uuid, p_contact_id uuid, p_touch_type text, p_touched_by uuid → uuid']);

create or replace function public.update_engagement_clock(
  p_tenant_id uuid,
  p_client_id uuid,
  p_contact_id uuid,
  p_touch_type text,
  p_touched_by uuid
) returns uuid
  language plpgsql
  set search_path = ''
as $$
declare
  v_now constant timestamptz := reactor.now();
  v_client_clock uuid;
  v_contact_clock uuid;
begin
  if p_tenant_id is null or p_touch_type is null or p_touch_type = '' then
    raise exception 'update_engagement_clock needs a tenant and the kind of touch' using errcode = 'RX003';
  end if;
  if p_client_id is null and p_contact_id is null then
    raise exception 'update_engagement_clock needs a client, a contact or both' using errcode = 'RX003';
  end if;

  if p_client_id is not null then
    insert into public.engagement_clocks as c
      (tenant_id, client_id, last_touch_at, last_touch_type, last_touch_by, next_touch_due, evaluated_at)
    values (p_tenant_id, p_client_id, v_now, p_touch_type, p_touched_by, v_now + interval '21 days', v_now)
    on conflict (tenant_id, client_id) where client_id is not null do update
      set last_touch_at = excluded.last_touch_at,
          last_touch_type = excluded.last_touch_type,
          last_touch_by = excluded.last_touch_by,
          next_touch_due = v_now + make_interval(days => greatest(1, least(c.engagement_interval_days, 36500))),
          evaluated_at = excluded.evaluated_at,
          updated_at = v_now
    returning c.id into v_client_clock;
    if v_client_clock is null then
      raise exception using errcode = 'RX006', message = reactor.skipped('public.engagement_clocks', 'insert or update');
    end if;
  end if;

  if p_contact_id is not null then
    insert into public.engagement_clocks as c
      (tenant_id, contact_id, last_touch_at, last_touch_type, last_touch_by, next_touch_due, evaluated_at)
    values (p_tenant_id, p_contact_id, v_now, p_touch_type, p_touched_by, v_now + interval '21 days', v_now)
    on conflict (tenant_id, contact_id) where contact_id is not null do update
      set last_touch_at = excluded.last_touch_at,
          last_touch_type = excluded.last_touch_type,
          last_touch_by = excluded.last_touch_by,
          next_touch_due = v_now + make_interval(days => greatest(1, least(c.engagement_interval_days, 36500))),
          evaluated_at = excluded.evaluated_at,
          updated_at = v_now
    returning c.id into v_contact_clock;
    if v_contact_clock is null then
      raise exception using errcode = 'RX006', message = reactor.skipped('public.engagement_clocks', 'insert or update');
    end if;
  end if;

  return coalesce(v_client_clock, v_contact_clock);
end
$$;

select reactor.only_executable_by('public.update_engagement_clock(uuid, uuid, uuid, text, uuid)',
                                  '{service_role,authenticated,reactor,reactor_handler}');
