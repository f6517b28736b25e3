"""One module per outside API: what can be asked, and what the answers mean. How a call is made: `platform/vendor_client.py`."""
