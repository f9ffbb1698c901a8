-- Alerts that found no channel are looked for when one is added, in the transaction of whoever adds it.
create index if not exists alert_deliveries_unheard on reactor.alert_deliveries (tenant_id)
where status = 'no_channel' and step = 0;
