"""What a page is told and may say over its websocket, of which the consumer is made."""
