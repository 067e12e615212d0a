"""The model of the example for Django in clients/README.md"""
from django.db import models


class Product(models.Model):
    name = models.TextField()
    category = models.TextField()

    class Meta:
        managed = False
        db_table = 'products'
