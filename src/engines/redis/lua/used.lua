-- What attempts came to, in the commit that ends them: records of each tenant, and sums of the day by group, nine
-- numbers each. See protocol/usage.ts. Numbers are exact up to 2^53. Included by the commit's script.

local USED = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$'
local USED_FORMAT = '%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f'

local function used_sum(stored, added)
  local a, b, c, d, e, f, g, h, i = string.match(stored, USED)
  if not a then return added end
  local j, k, l, m, n, o, p, q, r = string.match(added, USED)
  return string.format(USED_FORMAT, a + j, b + k, c + l, d + m, e + n, f + o, g + p, h + q, i + r)
end

-- Users and models are clients' own words: of a tenant and day only `most` sums are begun, then a tenth more under the
-- user '' (see protocol/usage.ts), then one a key. Returns the name that a new group is summed under. `room`: by tenant.
local USED_NAME = '^([^%z]*%z)([^%z]*%z)[^%z]*%z([^%z]*%z)$'

local function used_begun(key, group, room, most, sums)
  local tenant, id, model = string.match(group, USED_NAME)
  if not tenant then return group end
  local left = room[tenant]
  if not left then
    left = most - call('ZLEXCOUNT', key .. ':g', '[' .. tenant, '(' .. string.sub(tenant, 1, -2) .. '\1')
  end
  room[tenant] = left - 1
  if left > 0 then return group end
  local others = tenant .. id .. 'u\0' .. model
  if sums[others] or call('HEXISTS', key, others) == 1 then
    room[tenant] = left
    return others
  end
  if left > -most / 10 then return others end
  room[tenant] = left
  return tenant .. id .. 'u\0\0'
end

-- `added`: of each group, in its order.
local function used_add(day, most, groups, added)
  local key = S .. ':use:' .. day
  local stored, sums, names, new, room = read_all(key, groups), {}, {}, {}, {}
  for i, group in ipairs(groups) do
    local name, before = group, stored[i]
    if not before then
      name = used_begun(key, group, room, most, sums)
      before = sums[name]
      if not before and name ~= group then before = call('HGET', key, name) end
      if not before then
        local n = #new
        new[n + 1], new[n + 2] = 0, name
      end
    end
    if not sums[name] then names[#names + 1] = name end
    sums[name] = before and used_sum(before, added[i]) or added[i]
  end
  local pairs = {}
  for i, name in ipairs(names) do pairs[2 * i - 1], pairs[2 * i] = name, sums[name] end
  if #new > 0 then
    write_all('ZADD', key .. ':g', new)
    call('ZADD', S .. ':use:days', 0, day)
  end
  write_all('HSET', key, pairs)
end
