-- A channel that is added hears of the alerts that nobody was told of. Without a condition: that would keep the
-- application from changing the type of its column.
create or replace trigger reactor_channels after update on public.tenants
for each row execute function reactor.announce_channels();
