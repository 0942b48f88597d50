"""OpenTelemetry: a span for each submit and for each attempt, of one trace."""
