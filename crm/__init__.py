"""The reference central: the CRM's side of the Gate API.

The least that is real: one organiser, embedded SQLite by default, written so that PostgreSQL can take over by URL.
`crm.central.open_central` is the way in; `crm.service`, `crm.enrolment`, `crm.importer` and `crm.reports` do the work
for HTTP and the command line alike.
"""
