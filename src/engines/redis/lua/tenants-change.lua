-- include room
-- 'put' version name record, if that is still the version · 'again' name record …, if they are not there ·
-- 'remove' name …; tells all processes. Returns how many were changed.
local verb, records, counter = ARGV[1], S .. ':tenants', S .. ':tenants:n'
local changed = 0
if verb == 'put' then
  if (call('GET', counter) or '0') == ARGV[2] then
    call('HSET', records, ARGV[3], ARGV[4])
    changed = 1
  end
elseif verb == 'again' then
  for i = 2, #ARGV, 2 do changed = changed + call('HSETNX', records, ARGV[i], ARGV[i + 1]) end
else
  for i = 2, #ARGV do changed = changed + call('HDEL', records, ARGV[i]) end
end
if changed > 0 then call(PUBLISH, counter, call('INCR', counter)) end
return changed
