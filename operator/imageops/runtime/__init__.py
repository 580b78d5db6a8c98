"""Put the parts together: settings, daemons, the Controller with its queue per object, start and drain."""
