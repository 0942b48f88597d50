"""An app for the tests: functions to send, pages to show."""
