-- Two more columns that a tenants table of the application may lack: is_active, which says whether anything is
-- done for a tenant at all, and name, which people read. Like agent_enabled they are added, with what changes
-- nothing for the application: everybody is active, nobody has a name yet.
alter table public.tenants add column if not exists is_active boolean not null default true;
alter table public.tenants add column if not exists name text;
