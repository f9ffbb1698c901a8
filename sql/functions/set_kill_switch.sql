--! requires: now
-- Stops all gated work (p_on), or lets it go on. Takes effect at once on every replica: a trigger announces
-- it. Returns what was and what is. Called by `reactor kill-switch`.
create or replace function reactor.set_kill_switch(p_on boolean, p_reason text default null)
returns table (was_on boolean, is_on boolean, reason text)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    v_reason text := nullif(trim(p_reason), '');
begin
    if p_on is null then
        raise exception 'the kill switch is on or off, not null' using errcode = 'RX003';
    end if;
    if p_on and v_reason is null then
        raise exception 'the kill switch needs a reason: whoever finds everything stopped will look for it'
            using errcode = 'RX003';
    end if;
    insert into public.system_config (key, value)
    values ('agent_config', '{"global_enabled": false, "kill_switch_reason": null}')
    on conflict (key) do nothing;

    select not coalesce(c.value ->> 'global_enabled' = 'true', false) into was_on
    from public.system_config c where c.key = 'agent_config' for update;
    is_on := p_on;
    reason := case when p_on then v_reason end;
    update public.system_config c
    -- A value that is no object says nothing, and is replaced.
    set value = case when jsonb_typeof(c.value) = 'object' then c.value else '{}' end || jsonb_build_object('global_enabled', not p_on, 'kill_switch_reason', reason),
        updated_at = reactor.now()
    where c.key = 'agent_config';
    return next;
end;
$$;

revoke all on function reactor.set_kill_switch(boolean, text) from public;
grant execute on function reactor.set_kill_switch(boolean, text) to reactor;
