-- Of the server that has the shard.
return call('TIME')
