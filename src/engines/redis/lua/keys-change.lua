-- include room
-- 'add' digest key · 'first' digest key, if there is none · 'again' digest key at_ms … (revoked then, or '') ·
-- 'replace' version digest key … ('': it goes), if that is still the version · 'revoke' digest at_ms ·
-- 'remove' digest …; tells all processes. Returns how many were changed.
local verb, keys, revoked = ARGV[1], S .. ':keys', S .. ':keys:revoked'
local changed = 0
if verb == 'add' then
  changed = call('HSETNX', keys, ARGV[2], ARGV[3])
elseif verb == 'first' then
  if call('HLEN', keys) == 0 then changed = call('HSET', keys, ARGV[2], ARGV[3]) end
elseif verb == 'again' then
  for i = 2, #ARGV, 3 do
    changed = changed + call('HSETNX', keys, ARGV[i], ARGV[i + 1])
    if ARGV[i + 2] ~= '' then changed = changed + call('HSETNX', revoked, ARGV[i], ARGV[i + 2]) end
  end
elseif verb == 'replace' then
  if (call('GET', S .. ':keys:n') or '0') == ARGV[2] then
    for i = 3, #ARGV, 2 do
      if ARGV[i + 1] == '' then call('HDEL', keys, ARGV[i]) else call('HSET', keys, ARGV[i], ARGV[i + 1]) end
    end
    changed = 1
  end
elseif verb == 'revoke' then
  -- The first time counts
  if call('HEXISTS', keys, ARGV[2]) == 1 then changed = call('HSETNX', revoked, ARGV[2], ARGV[3]) end
else
  for i = 2, #ARGV do
    changed = changed + call('HDEL', keys, ARGV[i])
    call('HDEL', revoked, ARGV[i])
  end
end
if changed > 0 then call(PUBLISH, S .. ':keys:n', call('INCR', S .. ':keys:n')) end
return changed
