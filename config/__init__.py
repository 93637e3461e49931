"""The house: settings, addresses, admin site, worker. Knows every floor; nobody imports it."""
