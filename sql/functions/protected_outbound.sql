--! requires: protect
-- Not an object but a list: the tables of what leaves the database, which handlers write in their tenant's scope.
do $$
begin
    perform reactor.protect('reactor.email_intents');
    perform reactor.protect('reactor.alert_deliveries');
    perform reactor.protect('reactor.alert_channels_off');
end
$$;
