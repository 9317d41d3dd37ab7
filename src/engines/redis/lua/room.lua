-- For what ends work, hands it on, or frees room: it is never refused for want of memory. At its maxmemory Redis
-- refuses the first write of a script that needs memory, and none that comes after a write that needs none, as this one.
call('UNLINK', S .. ':none')
