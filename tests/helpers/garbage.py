"""What the collector says of what is dropped, in the order in which it should not come."""

import gc
import socket
import warnings


def warned_of_dropping(owners):
    """Return the warnings when the things in a list are dropped, sockets before who closes them."""
    sockets = [found for found in gc.get_objects() if type(found) is socket.socket]
    gc.collect()  # puts what is referred to from here before what owns it
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        owners.clear()
        del sockets
        gc.collect()
    return warned
