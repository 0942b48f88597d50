"""Failing jobs in Sentry, where the settings of the site call `sentry_sdk.init`."""
