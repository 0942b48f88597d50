"""What checks say of a real cluster."""

from django.core.checks import run_checks


def deploy_complaints():
    messages = run_checks(tags=["moi"], include_deployment_checks=True)
    assert all(message.hint for message in messages)
    return {message.id for message in messages}


def test_a_real_cluster_of_ours_is_found_safe(cluster):
    assert deploy_complaints() == {"moi.W019"}  # the Redis of the tests keeps nothing
