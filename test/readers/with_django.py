# Django with django-redis: its values are pickled, so it is told to read JSON, and
# its keys have a prefix and a version before them.
import sys

from django.conf import settings

path, key = sys.argv[1:]
location = 'unix://' + path + '?db=0'
redis = 'django_redis.cache.RedisCache'
settings.configure(CACHES={
    'default': {'BACKEND': redis, 'LOCATION': location},
    'images': {
        'BACKEND': redis,
        'LOCATION': location,
        'OPTIONS': {'SERIALIZER': 'django_redis.serializers.json.JSONSerializer'},
    },
})
from django.core.cache import caches

try:
    print('default:', caches['default'].get(key) or 'nothing')
except Exception as error:
    print('default:', type(error).__name__)
value = caches['images'].get(key)
print(value['name'], value['price'] + 1, value['at'])
