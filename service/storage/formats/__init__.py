"""One module for each kind of table file; `service.storage.files` picks the right one."""
