"""Everything that leaves: connections, field mappings, deliveries, attempts and the connectors."""
