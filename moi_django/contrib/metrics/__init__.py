"""What Prometheus is told of jobs, engines and pages: `"moi_django.contrib.metrics"`, an app."""
