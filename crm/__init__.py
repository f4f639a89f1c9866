"""The reference central: the CRM's side of the Gate API."""
