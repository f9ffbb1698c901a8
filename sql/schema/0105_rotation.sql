-- What reactor.rotate() has done. One row.
create table if not exists reactor.rotation (
    only_row boolean primary key default true check (only_row),
    rotations bigint not null default 0,
    -- events that all of them together wrote again
    kept bigint not null default 0,
    rotated_at timestamptz
);

insert into reactor.rotation default values on conflict do nothing;

revoke all on reactor.rotation from public;

-- Its dead rows are in the way of claims as well. It is the reactor's own to write.
grant truncate on public.agent_tenant_locks to reactor_owner;
